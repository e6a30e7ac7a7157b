"""Enrollment's picture: what an authenticator scans, where it is shown, and where it is not."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import segno
from PIL import Image

from bot.letter import Letter, from_body, to_body
from bot.render import Drawn, Picture, draw_charts
from bot.render.discord import DiscordMessage, discord_messages
from bot.render.plain import to_json, to_text
from bot.render.qr import QrCode
from bot.render.telegram import TelegramMessage, plain_text, telegram_messages
from engine.totp import seed, uri
from handlers.reply import Enrollment, Reply, Text, reply
from tests.bot.render.replies import PATHS, PICTURE

SEED = seed(b"a secret of the desk" * 2, "ada", 1)
URI = uri(SEED, "Ada (testnet)")
CODE = QrCode(URI)
TYPED = " ".join(SEED[at : at + 4] for at in range(0, 32, 4))
ANSWER = reply(Enrollment("ada"), Text("Then say /enroll and the code that it shows."))
ENDED = "No enrollment waits to be confirmed any more."
ELSEWHERE = "Enrollment needs a private chat"

# In modules and pixels: what cameras and chats' compression need.
QUIET_ZONE_MIN, SCALE_MIN = 4, 8
# Telegram's: greater pictures are refused.
SIDES_MAX = 10_000


async def write(picture: Picture, path: Path) -> None:
    _write(picture, path)


def _write(picture: Picture, path: Path) -> None:
    path.write_text(picture.title)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*")}


def enrolling(principal_id: str) -> str | None:
    return URI if principal_id == "ada" else None


def modules(png: bytes) -> list[list[bool]]:
    """What is dark in a picture, by module; every module must be of one color."""
    image = Image.open(BytesIO(png)).convert("L")
    side, edge = image.width, next(x for x in range(image.width) if _dark(image, x, x))
    # The finder in the corner begins with seven dark modules.
    scale = next(x for x in range(edge, side) if not _dark(image, x, edge)) - edge
    assert scale % 7 == 0
    scale //= 7
    assert image.width == image.height
    assert scale >= SCALE_MIN
    assert side % scale == 0
    assert edge >= QUIET_ZONE_MIN * scale
    count = side // scale
    return [[_module(image, row, column, scale) for column in range(count)] for row in range(count)]


def _module(image: Image.Image, row: int, column: int, scale: int) -> bool:
    left, top = column * scale, row * scale
    low, high = image.crop((left, top, left + scale, top + scale)).getextrema()
    assert low == high
    assert low in (0, 255)
    return low == 0


def _dark(image: Image.Image, x: int, y: int) -> bool:
    return image.getpixel((x, y)) == 0


def expected(text: str) -> list[list[bool]]:
    """The matrix of a code, with its quiet zone."""
    return [
        [bool(module) for module in row] for row in segno.make_qr(text, error="m").matrix_iter()
    ]


# -- the picture -------------------------------------------------------------------------


def test_the_picture_is_the_code_of_the_address_module_by_module() -> None:
    assert modules(CODE.read_bytes()) == expected(URI)
    assert modules(CODE.read_bytes()) != expected(URI.replace(SEED, SEED[::-1]))


def test_the_code_is_read_where_a_seventh_of_it_is_lost() -> None:
    """Level M or better: it is scanned from a screen, after a chat has compressed it."""
    assert segno.make_qr(URI, error="m").error in ("M", "Q", "H")


@pytest.mark.parametrize(
    "name",
    ["A", "Ada Lovelace", "\N{SMILING FACE WITH OPEN MOUTH}" * 64],
    ids=["short", "usual", "long"],
)
def test_chats_take_the_picture_whatever_the_name(name: str) -> None:
    image = Image.open(BytesIO(QrCode(uri(SEED, name)).read_bytes()))
    assert image.format == "PNG"
    assert image.width + image.height <= SIDES_MAX


def test_the_seed_is_shown_as_people_type_it() -> None:
    assert CODE.seed == TYPED
    assert TYPED.replace(" ", "") == SEED


def test_a_code_never_tells_its_seed_by_accident() -> None:
    for said in (repr(CODE), str(CODE), f"{CODE}"):
        assert SEED not in said
        assert "otpauth" not in said


# -- when it is made ---------------------------------------------------------------------


async def test_it_is_made_where_it_is_sent_and_no_file_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    [drawn] = await draw_charts(ANSWER, folder, write, enrolling)
    assert drawn == CODE
    telegram_messages(ANSWER, [drawn])
    assert drawn.read_bytes()
    assert files(tmp_path) == {}


async def test_beside_charts_everything_keeps_its_order(tmp_path: Path) -> None:
    answer = reply(Enrollment("ben"), PICTURE, Enrollment("ada"), PICTURE)
    drawn = await draw_charts(answer, tmp_path, write, enrolling)
    assert [type(each) for each in drawn] == [type(None), type(tmp_path), QrCode, type(tmp_path)]
    assert set(files(tmp_path).values()) == {b"BTCUSDT 1h"}


async def test_once_nothing_waits_to_be_confirmed_there_is_no_picture(tmp_path: Path) -> None:
    assert await draw_charts(reply(Enrollment("ben")), tmp_path, write, enrolling) == [None]


def test_a_letter_keeps_no_seed() -> None:
    body = to_body(Letter(ANSWER))
    assert from_body(body).reply == ANSWER
    assert json.loads(body)["reply"]["blocks"][0] == {"principal_id": "ada"}


# -- where it is shown -------------------------------------------------------------------


def telegram(answer: Reply, *drawn: Drawn | None) -> TelegramMessage:
    [message] = telegram_messages(answer, drawn)
    return message


def discord(answer: Reply, *drawn: Drawn | None) -> DiscordMessage:
    [message] = discord_messages(answer, drawn)
    return message


def test_telegram_shows_the_picture_with_the_seed_beneath_it() -> None:
    message = telegram(replace(ANSWER, badge="testnet"), CODE)
    assert message.photo is CODE
    assert f"<pre>{TYPED}</pre>" in message.text
    text = plain_text(message)
    assert text.startswith("Authenticator\n")
    assert "Then say /enroll" in text


def test_discord_shows_the_picture_and_the_seed_in_one_card() -> None:
    message = discord(ANSWER, CODE)
    assert message.files == (CODE,)
    card = next(embed for embed in message.embeds if embed.image)
    assert card.image is CODE
    assert f"```\n{TYPED}\n```" in card.description


def test_an_enrollment_that_is_over_is_told_in_words() -> None:
    assert telegram(ANSWER, None).photo is None
    assert ENDED in telegram(ANSWER, None).text
    assert discord(ANSWER, None).files == ()
    assert ENDED in discord(ANSWER, None).content + discord(ANSWER, None).embeds[0].description


def test_a_file_in_the_place_of_a_code_is_no_enrollment() -> None:
    assert telegram(ANSWER, PATHS[0]).photo is None


@pytest.mark.parametrize("drawn", [CODE, None], ids=["pending", "over"])
def test_a_terminal_and_a_machine_are_told_where_to_go(drawn: QrCode | None) -> None:
    for said in (to_text(ANSWER, chart_paths=[drawn]), to_json(ANSWER, "/enroll", [drawn])):
        assert ELSEWHERE in said
        assert SEED not in said
        assert TYPED not in said
        assert "otpauth" not in said


def test_a_chart_behind_an_enrollment_gets_its_own_picture() -> None:
    answer = reply(Enrollment("ada"), PICTURE)
    drawn = (CODE, PATHS[0])
    assert json.loads(to_json(answer, "/x", drawn))["blocks"][1]["path"] == str(PATHS[0])
    assert str(PATHS[0]) in to_text(answer, chart_paths=drawn)
    assert [message.photo for message in telegram_messages(answer, drawn)] == [CODE, PATHS[0]]
    assert [embed.image for embed in discord(answer, *drawn).embeds] == [CODE, PATHS[0]]
