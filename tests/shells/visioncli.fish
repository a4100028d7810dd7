# Completion of visioncli for fish 3 and newer. Written by `make completions`: do not edit.
# Copy this file into ~/.config/fish/completions/.

function __visioncli_at --description 'Whether the commands typed so far are $argv[1]'
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l path ''
    for word in $typed
        contains -- "$path $word" #:paths:
        and set path "$path $word"
    end
    test "$path" = "$argv[1]"
end

function __visioncli_new --description 'value|flag, a command, an option\'s names: whether it is still to be given there'
    __visioncli_at $argv[2]
    or return 1
    set -l typed (commandline -opc)
    test $argv[1] = value # the last word may be this very option, its value being typed
    and set -e typed[-1]
    for name in $argv[3..-1]
        if contains -- $name $typed
            return 1
        end
    end
end

function __visioncli_at_files --description 'Files, each after the @ that says so'
    set -l word (string replace -r '^--[^=]+=' '' -- (commandline -ct))
    string match -qr '^(@|$)' -- "$word"
    and printf '@%s\n' (__fish_complete_path (string replace -r '^@' '' -- "$word"))
end

#:rows:
