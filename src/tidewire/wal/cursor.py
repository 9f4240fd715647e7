"""Reads the fields of a pgoutput message one after another. For rare messages; rows have their own compiled path."""

from struct import Struct, error

from tidewire.model.errors import DecodeError

_U8, _U16, _I32, _U32, _U64, _I64 = (Struct(f) for f in (">B", ">H", ">i", ">I", ">Q", ">q"))


class Cursor:
    """A position in `data`. Every read that would leave the buffer raises DecodeError."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 1) -> None:
        self.data = data
        self.at = at

    def u8(self) -> int:
        return self._read(_U8)

    def u16(self) -> int:
        return self._read(_U16)

    def i32(self) -> int:
        return self._read(_I32)

    def u32(self) -> int:
        return self._read(_U32)

    def u64(self) -> int:
        return self._read(_U64)

    def i64(self) -> int:
        return self._read(_I64)

    def text(self) -> str:
        """Read a zero-terminated string."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise DecodeError("reading a log message: expected the end of a string, got the end of the message")
        value = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return value

    def bytes(self, length: int) -> bytes:
        value = self.data[self.at : self.at + length]
        if len(value) != length:
            raise DecodeError(f"reading a log message: expected {length} bytes, got {len(value)}")
        self.at += length
        return value

    def end(self) -> None:
        """Check that nothing is left over."""
        if self.at != len(self.data):
            raise DecodeError(f"reading a log message: {len(self.data) - self.at} unexpected bytes at the end")

    def _read(self, shape: Struct) -> int:
        try:
            (value,) = shape.unpack_from(self.data, self.at)
        except error:
            raise DecodeError("reading a log message: expected more bytes, got the end of the message") from None
        self.at += shape.size
        number: int = value
        return number
