"""Are the packages of the manifest here, exactly as they were?

Downloads what is missing into a folder with each registry's ordinary client (pip, npm, apt-get) and compares SHA-256. Nothing is
installed. Debian packages are those of Debian 12; on another system put the files into the folder by hand.
"""
import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

WHEEL_FOR = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.12"] + [
    part for name in ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any") for part in ("--platform", name)
]


def command(package):
    name, version, file = package["name"], package["version"], package["file"]
    if package["registry"] == "pypi":
        form = WHEEL_FOR if file.endswith(".whl") else ["--no-binary", name]
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", *form, f"{name}=={version}"]
    if package["registry"] == "npm":
        return ["npm", "pack", "--silent", f"{name}@{version}"]
    if package["registry"] == "debian":
        return ["apt-get", "download", f"{name}={version}"]
    raise SystemExit(f"{name}: unknown registry {package['registry']!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    wrong = []
    for package in json.loads((Path(__file__).parent / "manifest.json").read_text())["packages"]:
        path = arguments.cache / package["file"]
        if not path.exists():
            done = subprocess.run(command(package), cwd=arguments.cache, stdout=subprocess.DEVNULL)
            if done.returncode or not path.exists():
                wrong.append(f"{package['file']}: the {package['registry']} client did not deliver it (exit {done.returncode})")
                continue
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != package["sha256"]:
            wrong.append(f"{package['file']}: SHA-256 is {found}, the manifest says {package['sha256']}; delete it or correct the manifest")
        else:
            print(f"ok {package['file']}", flush=True)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
