#!/bin/sh
# Install the unmodified programs that the interop tests call, where this machine allows it.
# Debian packages; needs root or a sudo that asks nothing. Missing peers are named, and the tests
# that need them say so one by one.
set -u
PEERS="sipp:sip-tester baresip:baresip-core kamailio:kamailio sipsak:sipsak espeak-ng:espeak-ng sox:sox turnserver:coturn rtpengine:rtpengine-daemon ffmpeg:ffmpeg
    linphonec:linphone-cli twinkle-console:twinkle-console
    /usr/lib/*/kamailio/modules/tls.so:kamailio-tls-modules"

missing=""
set -f # a path with a star is for ls to find
for peer in $PEERS; do
    command -v "${peer%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${peer%%:*}" ] ||
        sh -c "ls ${peer%%:*}" >/dev/null 2>&1 || missing="$missing ${peer##*:}"
done
set +f
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "peers: NOT installed, no apt-get here:$missing (their tests will be skipped)" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "peers: NOT installed, no root here:$missing (their tests will be skipped)." >&2
    echo "peers: to run them too: sudo apt-get install$missing" >&2
    exit 0
fi
echo "peers: installing$missing"
# A peer is started by the test that needs it, never as a service of the machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null && $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
log=$(mktemp)
if ! { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "peers: installing$missing failed (above)" >&2
    exit 1
fi
rm -f "$log"
