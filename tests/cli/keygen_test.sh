#!/usr/bin/env bash
# polyak keygen: the files it makes, their modes, and what it refuses.
set -uo pipefail
polyak=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

# expect CODE EXCERPT ARGUMENT...: the exit code, and one line with the excerpt on stderr.
expect() {
    local code=$1 excerpt=$2 got
    shift 2
    "$polyak" keygen "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || fail "keygen $*: exit code $got, not $code"
    [ ! -s out ] || fail "keygen $*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "keygen $*: not one line on stderr"
    grep -qF -- "$excerpt" err || fail "keygen $*: does not say \"$excerpt\""
}

# has FILE MODE LINE...: the file's mode, and whole lines of it.
has() {
    local file=$1 mode=$2
    shift 2
    [ "$(stat -c %a "$file")" = "$mode" ] || fail "$file has mode $(stat -c %a "$file"), not $mode"
    for line in "$@"; do
        grep -qxE -- "$line" "$file" || fail "$file has no line $line"
    done
}

z85='[-0-9a-zA-Z.:+=^!/*?&<>()@%$#{}]|\[|\]'
for mask in 000 022 077 0777; do
    rm -f learner.* node7.*
    (umask $mask && "$polyak" keygen learner >"$work/out" 2>"$work/err") || fail "keygen learner"
    has learner.key 600 'polyak-key 1 secret' 'name learner' "public ($z85){40}" "secret ($z85){40}"
    has learner.pub 644 'polyak-key 1 public' 'name learner' "public ($z85){40}"
    ! grep -q '^roles' learner.pub || fail "a learner's key has roles"
done
grep -qF "$(grep '^public' learner.pub)" learner.key || fail 'the two files have different keys'
! grep -qF "$(sed -n 's/^secret //p' learner.key)" learner.pub out ||
    fail 'the secret is where others can see it'

before=$(cat learner.key learner.pub)
expect 2 'is there already' learner
rm learner.pub
expect 2 'is there already' learner
[ ! -e learner.pub ] || fail 'half a pair is left'
[ "$before" != "$(cat learner.key)" ] || fail 'learner.key was written over'

"$polyak" keygen node7 --roles actor,evaluator --output keys/deep >out 2>err || fail 'keygen node7'
has keys/deep/node7.pub 644 'name node7' 'roles actor,evaluator'
"$polyak" keygen --output=keys --roles=operator,observer ann >out 2>err || fail 'keygen ann'
has keys/ann.pub 644 'roles observer,operator'
[ "$(sed -n 's/^public //p' keys/ann.pub)" != "$(sed -n 's/^public //p' keys/deep/node7.pub)" ] ||
    fail 'two keys are the same'
"$polyak" keygen --help >out 2>err || fail 'keygen --help'
grep -q -- '--roles' out || fail 'keygen --help does not show --roles'

expect 2 'a name is missing'
expect 2 'a name is missing' --roles actor
expect 2 'one name is enough' a b
expect 2 'the name of a key has' ../a
expect 2 'the name of a key has' ''
expect 2 'roles are a comma list' a --roles king
expect 2 '--roles needs a value' a --roles
expect 2 '--roles needs a value' a --roles=
expect 2 'may be given once' a --roles actor --roles actor
expect 2 'unknown flag --role' a --role actor
expect 1 'cannot make' a --output /proc
for file in a.key a.pub; do
    [ ! -e $file ] || fail 'a refused key was made'
done

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
