#!/bin/sh
# Makes the virtual environment $1 and installs the locked requirements $2 and this project.
# On a bare system it asks the package manager for Python's venv module when run as root, and
# prints the one line to type when not.
set -eu

venv=$1
lock=$2
python=${PYTHON:-python3}

missing() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing python3 and its venv module"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv >/dev/null
    else
        echo "setup: Python 3.11 or newer with its venv module is needed. Type:" >&2
        echo "  sudo apt-get install -y python3 python3-venv" >&2
        exit 1
    fi
}

command -v "$python" >/dev/null && "$python" -c 'import ensurepip, venv' 2>/dev/null || missing
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: $python is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
fi

if ! [ -x "$venv/bin/python" ]; then
    echo "setup: making $venv"
    "$python" -m venv "$venv"
fi
pip="$venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
echo "setup: installing the locked requirements (about half a minute)"
$pip install --require-hashes -r "$lock"
$pip install --no-deps --no-build-isolation --editable .
echo "setup: done"
