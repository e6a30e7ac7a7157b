"""The published description of the Gemini API, which requests are held to where it is there."""

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from tests.servers.gemini_refusals import Json, not_the_protocol

PACKAGE = "google.ai.generativelanguage.v1beta."
FOLDER = Path(__file__).parents[3] / "shared" / "specs" / "gemini"


def published() -> Path | None:
    """The folder of the description beside the project, where there is one."""
    return FOLDER if FOLDER.is_dir() else None


class Spec:
    """The messages of the API, from their descriptors."""

    def __init__(self, folder: Path) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(
            (folder / "generativelanguage_v1beta.desc").read_bytes()
        )
        # The program's own pool may hold other versions of the same messages.
        self._pool = descriptor_pool.DescriptorPool()
        for each in files.file:
            self._pool.AddSerializedFile(each.SerializeToString())

    def check(self, name: str, body: Json) -> None:
        """Raise Refused for a body that is no message of this name: a field that nobody knows, or
        one of another type."""
        try:
            json_format.ParseDict(body, self._message(name))
        except json_format.ParseError as problem:
            raise not_the_protocol(str(problem)) from None

    def numbered(self, name: str, body: Json) -> Json:
        """The body with enums as numbers, as clients may ask for."""
        message = json_format.ParseDict(body, self._message(name), ignore_unknown_fields=True)
        shown: Json = json_format.MessageToDict(message, use_integers_for_enums=True)
        return shown

    def _message(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(PACKAGE + name))()


@cache
def specification(folder: Path) -> Spec:
    return Spec(folder)
