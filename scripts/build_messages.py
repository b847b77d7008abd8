"""Compile the schema of the Hoymiles messages.

    python scripts/build_messages.py           rewrite messages.binpb
    python scripts/build_messages.py --check   exit 1 if it is not up to date

The integration loads the compiled schema at run time, so that it needs neither
generated code, which a newer protobuf may refuse, nor a compiler.
"""

from pathlib import Path
import sys
import tempfile
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

FOLDER: Final = (
    Path(__file__).resolve().parents[1]
    / "custom_components"
    / "local_solar"
    / "hoymiles"
)
SOURCE: Final = FOLDER / "messages.proto"
COMPILED: Final = FOLDER / "messages.binpb"


def compiled() -> bytes:
    """Return the serialized description of the one file that the source makes."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set"
        arguments = [f"--proto_path={FOLDER}", f"--descriptor_set_out={target}"]
        if protoc.main(["protoc", *arguments, SOURCE.name]):
            sys.exit(f"{SOURCE.name} does not compile")
        (file,) = FileDescriptorSet.FromString(target.read_bytes()).file
    # The path must not meet that of another integration's schema.
    file.name = f"local_solar/hoymiles/{SOURCE.name}"
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")  # derives from the name
    return file.SerializeToString(deterministic=True)


def main(arguments: list[str]) -> int:
    """Write the file, or check it."""
    wanted = compiled()
    if "--check" not in arguments:
        COMPILED.write_bytes(wanted)
    elif not COMPILED.exists() or COMPILED.read_bytes() != wanted:
        print(f"{COMPILED.name} is not up to date: run scripts/build_messages.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
