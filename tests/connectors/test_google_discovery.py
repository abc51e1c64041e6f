"""The sandbox and the app against the API's own description, and Google's own client against the sandbox."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.connectors.google_contacts.sandbox import GoogleSandbox, serve
from services.contracts.receipts import Written
from tests.connectors.google_rig import ADA, Office, create, must, tag, untag, update

NEEDED = "google-api-python-client and jsonschema aren't installed"
jsonschema: Any = pytest.importorskip("jsonschema", reason=NEEDED)
googleapiclient: Any = pytest.importorskip("googleapiclient", reason=NEEDED)

_ASIDE = {"id", "enumDescriptions", "description", "readOnly", "format", "deprecated", "enumDeprecated"}


def document() -> dict[str, Any]:
    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    loaded: dict[str, Any] = json.loads((folder / "people.v1.json").read_text("utf-8"))
    return loaded


def json_schema(node: Any) -> Any:
    """A discovery schema as JSON Schema: names of properties are no keywords, and nothing unnamed may come."""
    if isinstance(node, list):
        return [json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    made = {key: json_schema(value) for key, value in node.items() if key not in _ASIDE | {"properties"}}
    if "properties" in node:
        made["properties"] = {name: json_schema(value) for name, value in node["properties"].items()}
        made["additionalProperties"] = False
    return made


DOCUMENT = document()
DEFS = {name: json_schema(schema) for name, schema in DOCUMENT["schemas"].items()}


def methods(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from methods(resource.get("resources", {}))


def method_of(verb: str, path: str) -> dict[str, Any]:
    for method in methods(DOCUMENT["resources"]):
        template = method["flatPath"].split("/")
        given = path.strip("/").split("/")
        if method["httpMethod"] != verb or len(template) != len(given):
            continue
        if all(_fits(want, got) for want, got in zip(template, given, strict=True)):
            return dict(method)
    raise AssertionError(f"the API has no {verb} {path}")


def _fits(want: str, got: str) -> bool:
    if not want.startswith("{"):
        return want == got
    verb = want.partition("}")[2]
    return got.endswith(verb) and (bool(verb) or ":" not in got)


def check(name: str, value: Any) -> None:
    validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFS})
    assert [error.message for error in validator.iter_errors(value)] == []


class Described(httpx2.AsyncBaseTransport):
    """The way to the sandbox; every request and answer has to be as the API describes them."""

    def __init__(self, box: GoogleSandbox) -> None:
        self._inner = httpx2.ASGITransport(app=box.app)
        self.used: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if request.url.path == "/token":
            return response
        method = method_of(request.method, request.url.path)
        self.used.add(method["id"].removeprefix("people."))
        for name in request.url.params:
            assert name in method["parameters"], f"{method['id']} has no parameter {name}"
        if request.content:
            check(method["request"]["$ref"], json.loads(request.content))
        await response.aread()
        if response.status_code == 200:
            check(method["response"]["$ref"], response.json())
        return response


@pytest.mark.parametrize("person", [{"name": "Ada"}, {"names": [{"first": "A"}]}, {"phoneNumbers": ["1"]}])
def test_the_description_catches_what_is_no_person(person: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check("Person", person)


async def test_everything_that_the_app_asks_and_the_sandbox_answers_is_as_described() -> None:
    async with Office() as office:
        described = Described(office.box)
        await office.http.aclose()
        office.http = httpx2.AsyncClient(transport=described)
        _, cursor = await office.scanned()
        made = must(await office.write(create({**ADA, "custom.product": ("syncbox",)})), Written).contact_id
        gone = office.box.hand.create("gone@x.example")
        _, cursor = await office.polled(cursor)
        office.box.hand.delete(gone)
        await office.polled(cursor)
        must(await office.write(update(await office.look(made), {**ADA, "note": ("n",), "company": ()})), Written)
        must(await office.write(tag(made)), Written)
        must(await office.write(untag(made)), Written)
        assert await office.find("ada@x.example") == [made]
        await office.settle(create(), office.micros())
        assert described.used == {
            "people.connections.list",
            "people.get",
            "people.getBatchGet",
            "people.searchContacts",
            "people.createContact",
            "people.updateContact",
            "contactGroups.list",
            "contactGroups.create",
            "contactGroups.members.modify",
        }


async def test_batches_are_as_described() -> None:
    async with Office() as office:
        await office.http.aclose()
        office.http = httpx2.AsyncClient(transport=Described(office.box))
        body: dict[str, Any] = {
            "contacts": [{"contactPerson": {"names": [{"givenName": "Ada"}]}}],
            "readMask": "metadata",
        }
        _, answer = await office.call("POST", "people:batchCreateContacts", body=body)
        person = answer["createdPeople"][0]["person"]
        name = person["resourceName"]
        body = {"contacts": {name: {"metadata": person["metadata"]}}, "updateMask": "names", "readMask": "names"}
        assert (await office.call("POST", "people:batchUpdateContacts", body=body))[0] == 200
        assert (await office.call("POST", "people:batchDeleteContacts", body={"resourceNames": [name]}))[0] == 200


def official(base: str, box: GoogleSandbox) -> Any:
    """Google's own client, over httplib2 and real HTTP, logged in with the refresh token."""
    discovery: Any = pytest.importorskip("googleapiclient.discovery", reason=NEEDED)
    options: Any = pytest.importorskip("google.api_core.client_options", reason=NEEDED)
    credentials: Any = pytest.importorskip("google.oauth2.credentials", reason=NEEDED)
    login = credentials.Credentials(
        None,
        refresh_token=box.refresh_token,
        token_uri=f"{base}/token",
        client_id=box.oauth.client_id,
        client_secret=box.oauth.client_secret,
    )
    return discovery.build(
        "people",
        "v1",
        static_discovery=True,
        credentials=login,
        client_options=options.ClientOptions(api_endpoint=f"{base}/"),
    )


def story(base: str, box: GoogleSandbox) -> None:
    errors: Any = pytest.importorskip("googleapiclient.errors", reason=NEEDED)
    service = official(base, box)
    people = service.people()
    fields = "names,emailAddresses,metadata"
    first = people.connections().list(resourceName="people/me", personFields=fields, requestSyncToken=True).execute()
    made = people.createContact(body={"names": [{"givenName": "Ada"}]}, personFields=fields).execute()
    again = people.connections().list(
        resourceName="people/me", personFields=fields, requestSyncToken=True, syncToken=first["nextSyncToken"]
    )
    assert [row["resourceName"] for row in again.execute()["connections"]] == [made["resourceName"]]
    change = {"metadata": made["metadata"], "names": [{"givenName": "Bea"}]}
    name = made["resourceName"]
    people.updateContact(resourceName=name, updatePersonFields="names", personFields=fields, body=change).execute()
    with pytest.raises(errors.HttpError) as stale:
        people.updateContact(resourceName=name, updatePersonFields="names", body=change).execute()
    assert (stale.value.status_code, stale.value.error_details[0]["reason"]) == (400, "failedPrecondition")
    group = service.contactGroups().create(body={"contactGroup": {"name": "Customers"}}).execute()
    members = service.contactGroups().members()
    members.modify(resourceName=group["resourceName"], body={"resourceNamesToAdd": [name]}).execute()
    people.searchContacts(query="", readMask="names").execute()
    found = people.searchContacts(query="bea", readMask="names").execute()
    assert found["results"][0]["person"]["names"][0]["displayName"] == "Bea"
    box.feed.expire_tokens()
    with pytest.raises(errors.HttpError) as expired:
        again.execute()
    assert expired.value.error_details[0]["reason"] == "EXPIRED_SYNC_TOKEN"
    people.deleteContact(resourceName=name).execute()
    service.close()


@pytest.mark.filterwarnings("ignore")
async def test_googles_own_client_works_with_the_sandbox_over_real_http() -> None:
    box = GoogleSandbox()
    async with serve(box) as base:
        await asyncio.to_thread(story, base, box)
    assert {each.status for each in box.requests} == {200, 400}
    assert box.oauth.refreshes == 1
    assert box.hand.everybody() == []
