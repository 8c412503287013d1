#!/bin/sh
# Makes the manual pages of the programs from what they print with --help, which has one home: the table
# of keys, and the commands' own words.
#
#   man_pages.sh BIN OUT   writes OUT/PROGRAM.1 for each program in BIN, and one for each command of
#                          polyak, such as OUT/polyak-train.1
set -eu
bin=$1 out=$2

# Lines as argp lays them out: text from the left edge, a heading after one blank, a flag after two to
# six and what it does in the column of most; or a table, which stays as it is.
to_roff() { # NAME BRIEF; --help on stdin
    LC_ALL=C awk -v name="$1" -v brief="$2" -v version="$version" '
    function safe(text) {
        gsub(/\\/, "\\e", text)
        gsub(/-/, "\\-", text)
        gsub(/…/, "...", text)
        sub(/^[.'\'']/, "\\\\\\&&", text)
        return text
    }
    function leave_table() { if (in_table) print ".fi"; in_table = 0 }
    function first_word_small(text) {
        sub(/[.]( .*)?$/, "", text)
        return tolower(substr(text, 1, 1)) substr(text, 2)
    }
    { line[NR] = $0 }
    END {
        if (brief == "")
            for (i = 2; i <= NR && line[i] != ""; i++) brief = brief (i == 2 ? "" : " ") line[i]
        printf ".TH %s 1 \"\" \"Polyak %s\" \"Polyak\"\n", toupper(name), version
        printf ".SH NAME\n%s \\- %s\n", safe(name), safe(first_word_small(brief))
        usage = line[1]
        sub(/^[Uu]sage: /, "", usage)
        printf ".SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n", safe(usage)
        for (i = 2; i <= NR; i++) {
            text = line[i]
            if (text == "") {
                leave_table()
                if (line[i + 1] ~ /^[^ ]/) print (in_flags ? ".SH NOTES" : ".PP")
                in_flags = in_flags && line[i + 1] !~ /^[^ ]/
            } else if (text ~ /^[^ ]/) {
                leave_table()
                print safe(text)
            } else if (text ~ /^ [A-Z]/) {
                leave_table()
                if (!in_flags) print ".SH OPTIONS"
                in_flags = 1
                print ".SS " safe(substr(text, 2))
            } else if (text ~ /^   ? ? ? ?--/) {
                leave_table()
                if (!in_flags) print ".SH OPTIONS"
                in_flags = 1
                sub(/^ +/, "", text)
                flag = text
                gap = match(text, /  +/)
                if (gap) { flag = substr(text, 1, gap - 1); text = substr(text, gap + RLENGTH) }
                else if ((gap = index(text, " "))) {
                    flag = substr(text, 1, gap - 1); text = substr(text, gap + 1)
                } else text = ""
                print ".TP\n.B " safe(flag)
                if (text != "") print safe(text)
            } else if (in_flags && text ~ /^          /) {
                # Words of a list below a flag stand in two columns.
                sub(/^ +/, "", text)
                if (text ~ /^[a-z]+  +/) print ".br"
                print safe(text)
            } else {
                if (!in_table) print ".PP\n.nf"
                in_table = 1
                print safe(text)
            }
        }
        leave_table()
        print ".SH EXIT STATUS\n0 done, 1 failed at run time, 2 bad usage."
        if (name !~ /-(learner|actor|relay|plugin-check)$/ && name != "polyak")
            print ".SH SEE ALSO\n.BR polyak (1)"
        else
            print ".SH SEE ALSO\nThe documents of Polyak, in its directory below doc."
    }'
}

page() { # NAME BRIEF PROGRAM [COMMAND]
    name=$1 brief=$2
    shift 2
    program=$1
    shift
    "$bin/$program" "$@" --help >"$out/$name.help"
    to_roff "$name" "$brief" <"$out/$name.help" >"$out/$name.1"
    rm "$out/$name.help"
}

mkdir -p "$out"
version=$("$bin/polyak" --version | cut -d ' ' -f 2)
for path in "$bin"/polyak*; do
    page "$(basename "$path")" '' "$(basename "$path")"
done
"$bin/polyak" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\)/\1/p' | while read -r command brief; do
    page "polyak-$command" "$brief" polyak "$command"
done
