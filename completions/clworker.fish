# fish completion for clworker

function _clworker_completion
    set -l program (string replace --regex '^~/' "$HOME/" -- (commandline -opc)[1])
    for line in (env _CLWORKER_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) \
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

complete --command clworker --no-files --keep-order --arguments '(_clworker_completion)'
