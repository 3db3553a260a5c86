# bash completion for clworker (bash 4.4 or newer)

_clworker_completion() {
    local IFS=$'\n' current prefix='' kind value i
    local -a words=()
    # bash splits words at "=", which clworker does not. What would yet be expanded may hold spaces.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i > 1)) && [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]]; then
            words[-1]+=${COMP_WORDS[i]//[\$\`]*/_}
        else
            words+=("${COMP_WORDS[i]//[\$\`]*/_}")
        fi
    done
    current=${words[-1]}
    [[ $current == *=* ]] && prefix=${current%"${current##*=}"}

    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("${value#"$prefix"}") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(
        COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _CLWORKER_COMPLETE=bash_complete \
            "${1/#\~\//$HOME/}" 2>/dev/null
    )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F _clworker_completion clworker
