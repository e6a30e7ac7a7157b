"""The QR code that an authenticator app scans, made in memory each time it is sent."""

from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

# In modules: with less white around it cameras don't find the code.
QUIET_ZONE = 4
# Pixels of a module: large enough to be scanned from another screen, after a chat's compression.
SCALE = 10
GROUP = 4


@dataclass(frozen=True, slots=True)
class QrCode:
    """A picture that never was a file; `uri` is an otpauth address, and its seed is a secret."""

    uri: str = field(repr=False)
    name: str = "enrollment.png"

    @property
    def seed(self) -> str:
        """The seed in groups, as people type it."""
        (seed,) = parse_qs(urlsplit(self.uri).query)["secret"]
        return " ".join(seed[at : at + GROUP] for at in range(0, len(seed), GROUP))

    def read_bytes(self) -> bytes:
        """The picture as PNG."""
        # Takes 18 ms to import, which no start need wait for.
        import segno

        png = BytesIO()
        code = segno.make_qr(self.uri, error="m")
        code.save(png, kind="png", scale=SCALE, border=QUIET_ZONE)
        return png.getvalue()
