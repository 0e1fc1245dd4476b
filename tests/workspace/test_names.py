import pytest

from app.workspace import names
from app.workspace.names import Invalid


@pytest.mark.parametrize("name", ["chatbot", "gpt-4o-mini", "meta-llama/llama-3:free", "Büro 7", "x" * 200, "*"])
def test_an_ordinary_name_is_taken_as_it_is(name):
    assert name == names.check("name", name)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-x", "@me", "\tx", "\0x", "a\nb", "a\x7fb", "", "x" * 201, " x", "x "])
def test_a_name_that_a_spreadsheet_or_a_log_would_misread_is_refused(name):
    with pytest.raises(Invalid) as refused:
        names.check("cost_centre", name)

    assert refused.value.field == "cost_centre"
    assert refused.value.problem.startswith("must ")


def test_an_upstreams_own_name_may_begin_with_an_at_sign():
    assert names.check_foreign("model", "@cf/meta/llama") == "@cf/meta/llama"
