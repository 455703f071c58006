"""Where keys come from, who is told of a store, and that nothing shows a key."""

import copy
import pickle
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import pytest

from treadle import (
    Agent,
    AuthenticationError,
    ConfigError,
    DictSecrets,
    EnvSecrets,
    FallbackModel,
    Message,
    ModelChunk,
    Secrets,
    System,
    ToolSpec,
    redact,
    register_provider,
)
from treadle.gateways.models.hosted import HostedModel
from treadle.gateways.models.secrets import find_key
from treadle.gateways.models.settings import NamedKey

GIVEN, STORED, SET = "given-key-1111", "stored-key-2222", "environment-key-3333"


class Client:
    """What a provider's SDK would be."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key


class AcmeModel(HostedModel[Client]):
    """A model that answers with nothing."""

    provider: ClassVar[str] = "acme"
    KEYS: ClassVar[tuple[str, ...]] = ("ACME_API_KEY",)

    async def stream(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), **options: Any
    ) -> AsyncIterator[ModelChunk]:
        yield ModelChunk("text", "answered")
        yield ModelChunk("finish")

    def _connect(self) -> Client:
        return Client(self.key)

    async def _disconnect(self, client: Client) -> None: ...


class Vault:
    """A store of one's own."""

    def __init__(self, **held: str) -> None:
        self.held = held

    def lookup_sync(self, name: str) -> str | None:
        return self.held.get(name)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)


def test_a_key_that_is_given_wins_over_secrets_and_these_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictSecrets({"ACME_API_KEY": STORED})
    monkeypatch.setenv("ACME_API_KEY", SET)
    assert AcmeModel("m", api_key=GIVEN, secrets=store).key == GIVEN
    assert AcmeModel("m", secrets=store).key == STORED
    assert AcmeModel("m", secrets=DictSecrets({})).key == SET
    assert AcmeModel("m").key == SET


def test_without_a_key_the_error_says_where_it_was_looked_for() -> None:
    with pytest.raises(AuthenticationError, match="acme needs a key: give api_key=, or set ACME_API_KEY; the env"):
        assert AcmeModel("m").key
    with pytest.raises(AuthenticationError, match="the secrets and the environment had none"):
        assert AcmeModel("m", secrets=DictSecrets({"ACME_API_KEY": ""})).key


@pytest.mark.parametrize(
    ("wrong", "why"), [("\nZz", "a line break"), ("\r", "a line break"), ("é", "not ASCII"), (" ", "a space")]
)
def test_a_key_that_no_header_takes_is_refused_where_it_is_found_and_not_said(
    monkeypatch: pytest.MonkeyPatch, wrong: str, why: str
) -> None:
    key = GIVEN + wrong
    monkeypatch.setenv("ACME_API_KEY", key)
    for model in (AcmeModel("m", api_key=key), AcmeModel("m", secrets=Vault(ACME_API_KEY=key)), AcmeModel("m")):
        with pytest.raises(AuthenticationError, match=f"the key for acme has .*{why}") as error:
            assert model.key
        assert GIVEN not in str(error.value)


def test_a_key_that_is_changed_in_its_store_is_the_new_one_when_it_is_asked_for() -> None:
    store = Vault(ACME_API_KEY="first-key-4444")
    model = AcmeModel("m", secrets=store)
    assert model.key == "first-key-4444"
    store.held["ACME_API_KEY"] = "second-key-5555"
    assert model.key == "second-key-5555"


# --- who is told of a store ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [DictSecrets({"ACME_API_KEY": STORED}), Vault(ACME_API_KEY=STORED)])
def test_an_agents_secrets_reach_a_model_that_has_none_of_its_own(store: Secrets) -> None:
    model = AcmeModel("m")
    Agent("Help.", model=model, secrets=store)
    assert model.key == STORED


def test_an_agents_secrets_do_not_replace_a_models_own() -> None:
    given, own = AcmeModel("m", api_key=GIVEN), AcmeModel("m", secrets=DictSecrets({"ACME_API_KEY": "own-key-6666"}))
    for model in (given, own):
        Agent("Help.", model=model, secrets=DictSecrets({"ACME_API_KEY": STORED}))
    assert (given.key, own.key) == (GIVEN, "own-key-6666")


def test_an_agents_secrets_reach_a_model_that_is_named_and_one_whose_key_is(monkeypatch: pytest.MonkeyPatch) -> None:
    register_provider("acme-secrets", AcmeModel)
    store = DictSecrets({"ACME_API_KEY": STORED, "OTHER": "other-key-7777"})
    by_name: Any = Agent("Help.", model="acme-secrets:m", secrets=store).spec.model
    assert by_name.key == STORED
    named = AcmeModel("m", secrets=NamedKey("acme", "OTHER"))
    Agent("Help.", model=named, secrets=store)
    assert named.key == "other-key-7777"


def test_an_agents_secrets_reach_all_models_that_may_be_asked_in_its_place() -> None:
    first, second = AcmeModel("a"), AcmeModel("b")
    Agent("Help.", model=FallbackModel([first, second]), secrets=DictSecrets({"ACME_API_KEY": STORED}))
    assert (first.key, second.key) == (STORED, STORED)


def test_a_model_is_not_asked_on_the_account_of_another_agent() -> None:
    model = AcmeModel("m")
    Agent("Help.", model=model, secrets=DictSecrets({"ACME_API_KEY": STORED}))
    with pytest.raises(ConfigError, match="in the secrets of another agent; give each a model of its own"):
        Agent("Help.", model=model, secrets=DictSecrets({"ACME_API_KEY": "other-key-7777"}))


def test_a_key_of_its_own_name_is_not_looked_for_on_the_account_of_another_agent() -> None:
    model = AcmeModel("m", secrets=NamedKey("acme", "TEAM_KEY"))
    first = DictSecrets({"TEAM_KEY": "first-key-4444"})
    for _ in range(2):  # agents of one team may share it
        Agent("Help.", model=model, secrets=first)
    with pytest.raises(ConfigError, match=r"the key TEAM_KEY .* of another agent; give each a model of its own"):
        Agent("Help.", model=model, secrets=DictSecrets({"TEAM_KEY": "second-key-5555"}))
    assert model.key == "first-key-4444"


def test_a_key_of_its_own_name_and_store_is_nobodys_account_but_its_own() -> None:
    model = AcmeModel("m", secrets=NamedKey("acme", "TEAM_KEY", Vault(TEAM_KEY="own-key-6666")))
    for other in ("first-key-4444", "second-key-5555"):
        Agent("Help.", model=model, secrets=DictSecrets({"TEAM_KEY": other}))
    assert model.key == "own-key-6666"


async def test_a_systems_secrets_reach_the_agents_that_have_none() -> None:
    model, own = AcmeModel("m"), AcmeModel("m")
    async with System(secrets=DictSecrets({"ACME_API_KEY": STORED})) as system:
        system.host(Agent("Help.", model=model, name="desk"))
        system.host(Agent("Help.", model=own, name="other", secrets=Vault(ACME_API_KEY="own-key-6666")))
    assert (model.key, own.key) == (STORED, "own-key-6666")


# --- nothing shows a key ---------------------------------------------------------------------------------------------


def test_a_key_is_masked_from_the_moment_that_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the model has not been asked yet: a prompt may come before."""
    monkeypatch.setenv("ACME_API_KEY", "masked-environment-1")
    AcmeModel("m", api_key="masked-given-1")
    AcmeModel("m", client=Client("masked-client-1"))
    DictSecrets({"DB": "masked-in-a-dict-1"})
    monkeypatch.setenv("DB", "masked-by-name-1")
    EnvSecrets().lookup_sync("DB")
    find_key("acme", None, Vault(ACME_API_KEY="masked-in-a-vault-1"), ("ACME_API_KEY",))
    for kind in ("environment", "given", "client", "in-a-dict", "by-name", "in-a-vault"):
        assert redact(f"The key is masked-{kind}-1.") == "The key is [redacted]."


def test_no_repr_shows_a_key() -> None:
    store = DictSecrets({"ACME_API_KEY": STORED})
    model = AcmeModel("m", api_key=GIVEN, secrets=store, base_url=f"https://user:{STORED}@example.org/v1")
    shown = repr((store, EnvSecrets(), model, Agent("Help.", model=model, secrets=store), System(secrets=store)))
    assert STORED not in shown
    assert GIVEN not in shown
    assert "DictSecrets(ACME_API_KEY), EnvSecrets(), AcmeModel('m', base_url='https://user:[redacted]@" in shown


@pytest.mark.parametrize("held", [DictSecrets({"ACME_API_KEY": STORED}), AcmeModel("m", api_key=GIVEN)])
def test_what_holds_a_key_is_not_pickled(held: object) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(held)


def test_a_copy_of_what_an_agent_has_shares_its_model() -> None:
    model = AcmeModel("m", api_key=GIVEN)
    assert copy.deepcopy({"model": model})["model"] is model
