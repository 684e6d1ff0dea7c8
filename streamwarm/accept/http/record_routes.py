"""The routes of warm records: `/v1/media` and what is below it.

An object may be called `a/../b`, `100%2F3`, or even `a/invalid`: a path names it as it was sent, and only its
parameters are decoded, once (`paths.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.http.body import read_object
from streamwarm.accept.http.gate import Handler
from streamwarm.accept.http.message import Request, Response
from streamwarm.accept.http.paths import path_param, query_params
from streamwarm.accept.http.problems import HttpError, Json
from streamwarm.accept.intake import Intake
from streamwarm.accept.wire.fields import FieldError, check_key, is_sha256, shown
from streamwarm.accept.wire.record_requests import (
    ForgetRecord,
    Lookup,
    ReportInvalid,
    parse_import,
    parse_records,
    parse_refresh,
    parse_verify,
)
from streamwarm.accept.wire.table import FILE_ID, INVALID_BODY, KIND
from streamwarm.model import JsonObject, Kind

RECORD = "/v1/media/{destination}/{kind}/{sha256_or_key:path}"


@frozen
class RecordRoutes:
    """`body_within_s`: how long a request's body may take to arrive, in seconds."""

    _intake: Intake
    _answers: AnswerBudget
    _body_within_s: float

    def handlers(self) -> Mapping[str, Mapping[str, Handler]]:
        return {
            "/v1/media": {"GET": self.page},
            "/v1/media/import": {"POST": self.import_records},
            "/v1/media/verify": {"POST": self.verify},
            "/v1/media/refresh": {"POST": self.refresh},
            f"{RECORD}/invalid": {"POST": self.invalid},
            RECORD: {"GET": self.find, "DELETE": self.forget},
        }

    async def page(self, request: Request) -> Response:
        params = parse_records(query_params(request, numbers=("limit",)))
        async with self._answers.making_page():
            return Json(await self._intake.records.page(params))

    async def import_records(self, request: Request) -> Response:
        params = parse_import(await read_object(request, self._body_within_s))
        return Json(await self._intake.records.import_records(params))

    async def verify(self, request: Request) -> Response:
        params = parse_verify(await read_object(request, self._body_within_s))
        return Json(await self._intake.records.verify(params))

    async def refresh(self, request: Request) -> Response:
        params = parse_refresh(await read_object(request, self._body_within_s))
        return Json(await self._intake.records.refresh(params))

    async def invalid(self, request: Request) -> Response:
        body = INVALID_BODY.read(await read_object(request, self._body_within_s))
        answer: JsonObject = {"requeued": False}
        for lookup in _lookups(request):
            answer = await self._intake.records.invalid(ReportInvalid(lookup, body["file_id"], body["error"]))
            if answer["requeued"] or "record" in answer:
                break
        return Json(answer)

    async def find(self, request: Request) -> Response:
        for lookup in _lookups(request):
            record = await self._intake.find(lookup)
            if record is not None:
                return Json(record)
        raise self._cold(request)

    async def forget(self, request: Request) -> Response:
        given = query_params(request)
        if unknown := given.keys() - {"file_id"}:
            # A misspelt condition must not drop the record unconditionally.
            raise FieldError(f"there is no parameter {shown(min(unknown))}; allowed: file_id")
        file_id = FILE_ID.read(given, "file_id")
        for lookup in _lookups(request):
            answer = await self._intake.forget(ForgetRecord(lookup, file_id))
            if answer["forgotten"]:
                return Json(answer)
        raise (
            self._cold(request)
            if file_id is None
            else HttpError(
                404, "this media is not warm with that file_id any more, so nothing was dropped; look it up again"
            )
        )

    def _cold(self, request: Request) -> HttpError:
        destination = path_param(request, "destination")
        if destination not in self._intake.destinations:
            names = ", ".join(sorted(self._intake.destinations)) or "none"
            return HttpError(404, f"no destination is called {shown(destination)}; configured: {names}")
        return HttpError(404, "this media is not warm at this destination; push a job for it")


def _lookups(request: Request) -> Sequence[Lookup]:
    """The look-ups to try, in order. 64 hexadecimal digits can be a digest, and are a valid key too."""
    destination = path_param(request, "destination")
    reference = check_key("r2_key", path_param(request, "sha256_or_key"))
    kind = Kind(KIND.check("kind", path_param(request, "kind")))
    by_key = Lookup(destination, kind, r2_key=reference)
    if is_sha256(reference):
        return [Lookup(destination, kind, sha256=reference.lower()), by_key]
    return [by_key]
