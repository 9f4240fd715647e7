"""What is installed is what the lock files say, wherever it is installed from."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
CHECKSUM = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")


def test_every_javascript_package_has_a_checksum_and_no_address() -> None:
    packages = json.loads((HERE / "js" / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert len(installed) > 10
    for name, package in installed.items():
        assert CHECKSUM.fullmatch(package["integrity"]), name
        assert "resolved" not in package, name


def test_every_python_package_has_a_checksum_and_no_address() -> None:
    wanted = (HERE / "pypi" / "requirements.txt").read_text()
    assert "://" not in wanted
    packages = [block for block in re.split(r"^(?=\w)", wanted, flags=re.MULTILINE) if block.strip()]
    assert len(packages) > 10
    for package in packages:
        assert "--hash=sha256:" in package, package


def test_the_documentation_names_the_versions() -> None:
    text = (HERE.parents[1] / "docs" / "reference" / "clients.md").read_text()
    wanted = json.loads((HERE / "js" / "package.json").read_text())
    specifiers = {**wanted["dependencies"], **wanted["optionalDependencies"]}
    for name, specifier in specifiers.items():
        version = specifier.rpartition("@")[2]
        said = version if name.startswith("supabase") else version.rpartition(".")[0]
        assert said in text or name == "ws", name
    (python,) = re.findall(r"realtime==(\S+)", (HERE / "pypi" / "requirements.in").read_text())
    assert python in text
