# shellcheck shell=bash
# Shared helpers for the service scripts. Source it; do not run it.
# Contract of every script:  X.sh start DIR PORT   -> prints the URL on stdout, everything else on stderr
#                            X.sh stop  DIR        -> stops what start left running (by pid file); never touches others
# Idempotent: a second start on the same DIR prints the same URL; stop on a stopped DIR succeeds.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
say() { echo "$*" >&2; }
die() { say "error: $*"; exit 1; }
now_ms() { date +%s%3N; }

# apt_install PACKAGE...: install the packages without letting dpkg start a daemon.
apt_install() {
  (
    flock 9
    made=
    if [ ! -e /usr/sbin/policy-rc.d ]; then printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1; fi
    log=$(mktemp)
    status=0
    get() { apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" >/dev/null 2>>"$log"; }
    get "$@" || { apt-get -qq update >/dev/null 2>>"$log"; get "$@"; } || { status=1; cat "$log" >&2; }
    rm -f "$log"
    [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
    exit "$status"
  ) 9>/tmp/.millrace-apt.lock || die "cannot install: $*"
}
# apt_need BINARY PACKAGE...: the same, only when BINARY is absent.
apt_need() {
  local bin=$1; shift
  command -v "$bin" >/dev/null 2>&1 || [ -x "$bin" ] || apt_install "$@"
}

# running PID: true for a live process; a zombie counts as gone (PID 1 of a sandbox may reap late).
running() { local st; st=$(cut -d' ' -f1 <<<"$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)") && [ -n "$st" ] && [ "$st" != Z ]; }
alive() { [ -s "$1" ] && running "$(cat "$1")"; }
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_ready PIDFILE SECONDS LOG CMD...: poll CMD until it succeeds; fail at once when the process is gone.
wait_ready() {
  local pf=$1 limit=$(( $2 * 10 )) log=$3; shift 3
  local i
  for ((i = 0; i < limit; i++)); do
    "$@" >/dev/null 2>&1 && return 0
    alive "$pf" || { tail -20 "$log" >&2; die "server exited early (log: $log)"; }
    sleep 0.1
  done
  tail -20 "$log" >&2; die "not ready after $((limit / 10)) s (log: $log)"
}

# stop_pid PIDFILE [SIGNAL] [SECONDS]
stop_pid() {
  local pf=$1 sig=${2:-TERM} limit=$(( ${3:-15} * 10 )) pid i
  [ -s "$pf" ] || return 0
  pid=$(cat "$pf")
  kill -"$sig" "$pid" 2>/dev/null || { rm -f "$pf"; return 0; }
  for ((i = 0; i < limit; i++)); do running "$pid" || { rm -f "$pf"; return 0; }; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$pf"
}

# begin "$@": parse the command line; sets CMD DIR PORT; DIR is created and made absolute.
begin() {
  CMD=${1:-}; DIR=${2:-}; PORT=${3:-}
  case $CMD in
    start) [ -n "$DIR" ] && [ -n "$PORT" ] || die "usage: $(basename "$0") start DIR PORT" ;;
    stop) [ -n "$DIR" ] || die "usage: $(basename "$0") stop DIR"; [ -d "$DIR" ] || exit 0 ;;
    *) die "usage: $(basename "$0") start DIR PORT | stop DIR" ;;
  esac
  mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
  # Already running here: print the URL again.
  if [ "$CMD" = start ] && alive "$DIR/pid" && [ -s "$DIR/url" ]; then cat "$DIR/url"; exit 0; fi
  if [ "$CMD" = start ] && port_open "$PORT"; then die "port $PORT is taken"; fi
}
# done_url URL: remember and print
done_url() { echo "$1" >"$DIR/url"; echo "$1"; }
