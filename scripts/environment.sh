# Sourced by run, test and verify: `environment EXTRAS...` makes .venv ready and puts it on PATH. Quick when nothing changed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local name
    for name in "${FASTSGD_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [ -n "$name" ] || continue
        if "$name" -c 'import sys, venv; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "fastsgd needs Python 3.11 or newer with the venv module; install it or name it in FASTSGD_PYTHON" >&2
    return 1
}

environment() {
    local extras="$1" python stamp wanted
    local venv="${FASTSGD_VENV:-$root/.venv}"
    python=$(find_python) || exit 2
    # What was installed for: the interpreter, the requirements, and where the sources are.
    wanted="$extras $root $(cksum <"$root/pyproject.toml") $("$python" --version)"
    stamp="$venv/.fastsgd-$extras"
    if [ ! -x "$venv/bin/python" ]; then
        echo "making a virtual environment in $venv" >&2
        "$python" -m venv "$venv"
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing fastsgd (a minute or so, once)" >&2
        local target="$root"
        [ "$extras" = run ] || target="$root[$extras]"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$target"
        # pip compiles what it copies, and this it does not copy.
        "$venv/bin/python" -m compileall -qq "$root/fastsgd" "$root/kernels" || true
        echo "$wanted" >"$stamp"
    fi
    PATH="$venv/bin:$PATH"
    export PATH
}
