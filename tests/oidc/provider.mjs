// A certified OpenID Connect provider dressed as a tenant of Microsoft Entra ID, and as itself at the root, over TLS.
// Usage: node provider.mjs settings.json. POST /_people replaces what it says of people: login -> claims.
//
// Claims that begin with an underscore are instructions: _graph lists groups that only Graph tells, _graphStatus is
// what Graph answers instead, _put is laid over the ID token, and _sign makes its signature wrong in one way.
import { createHmac, createPrivateKey, createSign, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const settings = JSON.parse(readFileSync(process.argv[2]));
const { port, tenant, clientId, clientSecret, redirects, signedOut } = settings;
const base = `https://localhost:${port}`;
const prefix = `/${tenant}/v2.0`;
const KID = "the-key";
const own = newKey();
const another = newKey();
let people = {};

// By way of PEM: Node.js 20 locks itself up when it collects the job that made a key while that key is being exported.
function newKey() {
  const pem = { privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } };
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048, ...pem });
  return createPrivateKey(privateKey).export({ format: "jwk" });
}

function configuration(at) {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: redirects,
        post_logout_redirect_uris: signedOut,
        token_endpoint_auth_method: "client_secret_post",
        grant_types: ["authorization_code", "refresh_token"],
      },
    ],
    routes: {
      authorization: "/oauth2/v2.0/authorize",
      token: "/oauth2/v2.0/token",
      jwks: "/discovery/v2.0/keys",
      end_session: "/oauth2/v2.0/logout",
    },
    jwks: { keys: [{ ...own, kid: KID, use: "sig", alg: "RS256" }] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ["of a test"] },
    issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
    claims: {
      openid: ["sub", "oid", "tid", "roles", "groups", "acct", "idp", "sid", "ver", "_claim_names", "_claim_sources"],
      email: ["email", "email_verified"],
      profile: ["name", "preferred_username"],
    },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { logoutSource: (context, form) => (context.body = page(`${form}${button("op.logoutForm", "logout", "yes", "Sign out")}`)) },
    },
    interactions: { url: (_, interaction) => `${at}/interaction/${interaction.uid}` },
    findAccount: (_, id) => people[id] && { accountId: id, claims: () => said(id) },
    async loadExistingGrant(context) {
      const { client, provider, session } = context.oidc;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope("openid email profile offline_access");
      await grant.save();
      return grant;
    },
  };
}

function said(id) {
  const claims = Object.entries(people[id]).filter(([name]) => !name.startsWith("_") || name.startsWith("_claim"));
  return { sub: id, oid: id, tid: tenant, ver: "2.0", ...Object.fromEntries(claims) };
}

// The login page: any password will do.
function page(body) {
  return `<!doctype html><html lang="en"><title>Test provider</title><link rel="icon" href="data:,"><h1>Test provider</h1>${body}</html>`;
}

function button(form, name, value, text) {
  return `<button form="${form}" name="${name}" value="${value}">${text}</button>`;
}

async function interaction(provider, request, response) {
  if (request.method === "GET") {
    const { uid } = await provider.interactionDetails(request, response);
    response.setHeader("content-type", "text/html");
    const form = `<form id="f" method="post" action="${provider.prefix}/interaction/${uid}"><label>Login <input name="login"></label></form>`;
    return response.end(page(form + button("f", "go", "yes", "Continue") + button("f", "go", "no", "Cancel")));
  }
  const form = new URLSearchParams(await bodyOf(request));
  const denied = { error: "access_denied", error_description: "the user declined to consent" };
  const result = form.get("go") === "yes" ? { login: { accountId: form.get("login") } } : denied;
  return provider.interactionFinished(request, response, result);
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

// Entra gives a refresh token's owner access to any resource that he has consented to; a strict provider does not.
async function takeToken(provider, request, response) {
  const form = Object.fromEntries(new URLSearchParams(await bodyOf(request)));
  if (form.grant_type === "refresh_token") delete form.scope;
  request.body = form;
  const end = response.end.bind(response);
  response.end = (body, ...rest) => {
    const changed = response.statusCode === 200 ? spoiled(JSON.parse(body)) : body;
    response.setHeader("content-length", Buffer.byteLength(changed));
    return end(changed, ...rest);
  };
  return provider.callback()(request, response);
}

// Change an ID token as its owner's claims ask for.
function spoiled(answer) {
  if (!answer.id_token) return JSON.stringify(answer);
  const claims = JSON.parse(Buffer.from(answer.id_token.split(".")[1], "base64url"));
  const { _put: put, _sign: sign } = people[claims.sub] ?? {};
  if (put || sign) answer.id_token = signed({ ...claims, ...put }, sign);
  return JSON.stringify(answer);
}

function signed(claims, how) {
  const alg = { none: "none", HS256: "HS256" }[how] ?? "RS256";
  const header = { alg, typ: "JWT", kid: how === "unknown key" ? "another-key" : KID };
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  if (alg === "none") return `${input}.`;
  if (alg === "HS256") return `${input}.${createHmac("sha256", clientSecret).update(input).digest("base64url")}`;
  const key = createPrivateKey({ key: how === "another key" ? another : own, format: "jwk" });
  return `${input}.${createSign("RSA-SHA256").update(input).sign(key, "base64url")}`;
}

// Microsoft Graph: two groups a page.
async function graph(request, response) {
  const token = await entra.AccessToken.find((request.headers.authorization ?? "").replace("Bearer ", ""));
  const person = token && people[token.accountId];
  const skip = Number(new URL(request.url, base).searchParams.get("$skiptoken") ?? 0);
  response.setHeader("content-type", "application/json");
  if (!person || person._graphStatus) {
    response.statusCode = person?._graphStatus ?? 401;
    return response.end(JSON.stringify({ error: { code: "Authorization_RequestDenied", message: "no" } }));
  }
  const value = person._graph.slice(skip, skip + 2).map((id) => ({ "@odata.type": "#microsoft.graph.group", id }));
  const more = skip + 2 < person._graph.length;
  const next = { "@odata.nextLink": `${base}/graph/v1.0/me/transitiveMemberOf?$skiptoken=${skip + 2}` };
  return response.end(JSON.stringify({ value, ...(more ? next : {}) }));
}

function dress(at) {
  const provider = new Provider(`${base}${at}`, configuration(at));
  provider.prefix = at;
  return provider;
}

const entra = dress(prefix);
const plain = dress("");

createServer({ key: readFileSync(settings.key), cert: readFileSync(settings.certificate) }, async (request, response) => {
  try {
    if (request.url === "/_people") {
      people = JSON.parse(await bodyOf(request));
      return response.end("{}");
    }
    if (request.url.startsWith("/graph/")) return await graph(request, response);
    const provider = request.url.startsWith(prefix) ? entra : plain;
    request.originalUrl = request.url;
    request.url = request.url.slice(provider.prefix.length) || "/";
    if (request.url.startsWith("/interaction/")) return await interaction(provider, request, response);
    if (request.url.startsWith("/oauth2/v2.0/token")) return await takeToken(provider, request, response);
    return provider.callback()(request, response);
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
    return response.end();
  }
}).listen(port, "127.0.0.1", () => console.log("ready"));
