"""The completion scripts of bash, zsh and fish, which ask the program at each TAB.

The words travel as click has it. The scripts are our own: click's go wrong at ``--option=value``
and for a program that is called by its path, and what fails shows on the command line.
``_CLWORKER_COMPLETE=bash_source clworker`` prints one; ``completions/`` holds them all.
"""

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_BASH = r"""# bash completion for %(prog_name)s (bash 4.4 or newer)

%(complete_func)s() {
    local IFS=$'\n' current prefix='' kind value i
    local -a words=()
    # bash splits words at "=", which %(prog_name)s does not. What would yet be expanded may hold spaces.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i > 1)) && [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]]; then
            words[-1]+=${COMP_WORDS[i]//[\$\`]*/_}
        else
            words+=("${COMP_WORDS[i]//[\$\`]*/_}")
        fi
    done
    current=${words[-1]}
    [[ $current == *=* ]] && prefix=${current%%"${current##*=}"}

    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("${value#"$prefix"}") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(
        COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete \
            "${1/#\~\//$HOME/}" 2>/dev/null
    )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = r"""#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described unfinished
    local kind value meaning prefix=
    # What would yet be expanded may hold spaces.
    local -a typed=("${(@)words[1,CURRENT]//[\$\`]*/_}")
    if [[ $PREFIX == *=* ]]; then
        prefix=${PREFIX%%"${PREFIX##*=}"}
        compset -P '*='
    fi
    while IFS= read -r kind && IFS= read -r value && IFS= read -r meaning; do
        value=${value#"$prefix"}
        case $kind in
            plain)
                if [[ $value == *= ]]; then
                    unfinished+=("$value")
                elif [[ $meaning == _ ]]; then
                    plain+=("$value")
                else
                    described+=("$value:$meaning")
                fi
                ;;
            dir) _files -/ ;;
            file) _files ;;
        esac
    done < <(
        COMP_WORDS="${typed[*]}" COMP_CWORD=$((CURRENT - 1)) %(complete_var)s=zsh_complete \
            "${words[1]/#\~\//$HOME/}" 2>/dev/null
    )
    (( $#described )) && _describe -V %(prog_name)s described
    (( $#plain )) && compadd -V words -a plain
    (( $#unfinished )) && compadd -V names -S '' -a unfinished
}

if [[ ${funcstack[1]} == _%(prog_name)s ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = r"""# fish completion for %(prog_name)s

function %(complete_func)s
    set -l program (string replace --regex '^~/' "$HOME/" -- (commandline -opc)[1])
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) \
            $program 2>/dev/null)
        set -l parts (string split --max 1 , -- $line)
        set -l option (string match --regex -- '^--[^=]*=' $parts[2])
        set -l path (string replace --regex -- '^--[^=]*=' '' $parts[2])
        switch $parts[1]
            case plain
                echo $parts[2]
            case dir
                string replace --regex '^' -- "$option" (__fish_complete_directories "$path")
            case file
                string replace --regex '^' -- "$option" (__fish_complete_path "$path")
        end
    end
end

complete --command %(prog_name)s --no-files --keep-order --arguments '(%(complete_func)s)'
"""


class _WholeWords(ShellComplete):
    """Answers ``--option=val`` with ``--option=value``; the scripts know what their shells expect of it."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        name, equals, value = incomplete.partition("=")
        if not equals or not name.startswith("--"):
            return super().get_completions(args, incomplete)
        items = super().get_completions([*args, name], value)
        return [CompletionItem(f"{name}={item.value}", item.type, item.help) for item in items]


class _Bash(_WholeWords, BashComplete):
    source_template = _BASH


class _Zsh(_WholeWords, ZshComplete):
    source_template = _ZSH


class _Fish(_WholeWords, FishComplete):
    source_template = _FISH


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Have click use these scripts."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
