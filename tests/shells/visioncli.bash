# Completion of visioncli for bash 4.2 and newer; needs nothing else. Written by `make completions`: do not edit.
# Source this file from ~/.bashrc.

# Fill `rows` with what can follow the command $1: names|kind|words|help. A + before the names: may be given again;
# <> is the argument. A kind is command, flag, or how a value completes: words, files (where no word fits), at (@FILE).
_visioncli_rows() {
    case $1 in
#:rows:
    esac
}

# Complete a value of kind $1 with the words $2, beginning with `cur`.
_visioncli_value() {
    local word
    for word in $2; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
    case $1 in
    files) compopt -o bashdefault -o default ;; # readline names files itself, quoted as they need, if COMPREPLY is empty
    at) [[ $cur && $cur != @* ]] || _visioncli_at_files ;;
    esac
}

# Readline does not know that a file follows the @, so quote it here, and end folders with a slash.
_visioncli_at_files() {
    local i
    mapfile -t COMPREPLY < <(compgen -f -- "${cur#@}")
    for i in "${!COMPREPLY[@]}"; do
        [[ -d ${COMPREPLY[i]} ]] && COMPREPLY[i]+=/ && compopt -o nospace
        printf -v 'COMPREPLY[i]' '@%q' "${COMPREPLY[i]}"
    done
}

# Put the helps beside the names, where bash only lists and inserts nothing of it.
_visioncli_described() {
    local i width=0
    [[ ${#COMPREPLY[@]} -gt 1 && ${COMP_TYPE:-} == 63 ]] || return 0
    for i in "${COMPREPLY[@]}"; do ((${#i} > width)) && width=${#i}; done
    for i in "${!COMPREPLY[@]}"; do
        printf -v 'COMPREPLY[i]' '%-*s  %s' "$width" "${COMPREPLY[i]}" "${helps[i]}"
        COMPREPLY[i]=${COMPREPLY[i]:0:${COLUMNS:-80} - 1}
    done
}

_visioncli() {
    local IFS=$' \t\n' cur=${COMP_WORDS[COMP_CWORD]} path='' value='' option='' over='' word row names kind words help name
    local -a given=() rows=() helps=()
    COMPREPLY=()

    # --dtype=auto arrives as three words, @FILE as two, --labels=@FILE as three: what separates words is one.
    [[ ${COMP_WORDS[COMP_CWORD - 1]} == @ || ${COMP_WORDS[COMP_CWORD - 1]} == =@ ]] && cur=@$cur
    [[ $cur == =@ ]] && cur=@
    [[ $cur == = ]] && cur=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        case "$path $word" in
        *' =' | *' @' | *' =@') ;;
        #:paths:) path+=" $word" ;;
        *) given+=("$word") option=$word ;;
        esac
        [[ $word == -- ]] && over=yes
    done
    _visioncli_rows "$path"

    for row in "${rows[@]}"; do
        names=${row%%|*} row=${row#*|}
        kind=${row%%|*} row=${row#*|}
        words=${row%%|*} help=${row#*|}
        if [[ $names == '<>' ]]; then
            [[ $cur == -* && ! $over ]] || value="$kind $words"
        elif [[ $kind != command && $kind != flag && $option && ! $over && " $names " == *" $option "* ]]; then
            COMPREPLY=() helps=()
            _visioncli_value "$kind" "$words"
            return
        fi
        [[ $names == '<>' || $over ]] && continue
        # An empty word asks a group for its commands; options come when a dash is typed.
        [[ $kind != command && ! $cur && ${rows[0]} == *'|command|'* ]] && continue
        for name in $names; do
            [[ $names != '+ '* && " ${given[*]} " == *" $name "* ]] && continue 2
        done
        for name in $names; do
            [[ $name == "$cur"* && $name != + ]] && COMPREPLY+=("$name") && helps+=("$help")
        done
    done
    if [[ $value ]]; then
        COMPREPLY=()
        _visioncli_value "${value%% *}" "${value#* }"
    else
        _visioncli_described
    fi
}

complete -F _visioncli visioncli
