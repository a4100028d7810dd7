# Completion of visioncli for fish 3 and newer. Written by `make completions`: do not edit.
# Copy this file into ~/.config/fish/completions/.

function __visioncli_at --description 'Whether the commands typed so far are $argv[1]'
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l path ''
    for word in $typed
        contains -- "$path $word" ' classify' ' embed' ' doctor' ' models' ' models list' ' models pull' ' models verify'
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
    set -l word (commandline -ct)
    string match -qr '^(@|$)' -- "$word"
    and printf '@%s\n' (__fish_complete_path (string replace -r '^@' '' -- "$word"))
end

complete -c visioncli -n '__visioncli_at \'\'' -f
complete -c visioncli -n '__visioncli_at \'\'' -a classify -d 'Zero-shot classification: every picture against a list of labels.'
complete -c visioncli -n '__visioncli_at \'\'' -a embed -d 'Embeddings of pictures, of texts, or of both.'
complete -c visioncli -n '__visioncli_at \'\'' -a doctor -d 'Show what this machine has: devices, dtypes, codecs, versions, folders.'
complete -c visioncli -n '__visioncli_at \'\'' -a models -d 'What can run here: list it, fetch and pin it, check it.'
complete -c visioncli -n '__visioncli_new flag \'\' --version' -l version -d 'Show the version.'
complete -c visioncli -n '__visioncli_new flag \'\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_new value \' classify\' -l --labels' -s l -l labels -x -a '(__visioncli_at_files)' -d 'What the pictures may show; @FILE has one a line.'
complete -c visioncli -n '__visioncli_at \' classify\'' -l template -r -F -d 'How a label becomes a sentence; several are averaged. (default: {})'
complete -c visioncli -n '__visioncli_new value \' classify\' --scoring' -l scoring -x -a 'softmax sigmoid cosine' -d 'softmax: one of the labels; sigmoid: each by itself; cosine: raw similarity.'
complete -c visioncli -n '__visioncli_new value \' classify\' -k --top-k' -s k -l top-k -r -F -d 'Keep the best K labels. (default: all)'
complete -c visioncli -n '__visioncli_new value \' classify\' -o --output' -s o -l output -r -F -d 'FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
complete -c visioncli -n '__visioncli_new flag \' classify\' --overwrite' -l overwrite -d 'Replace a finished output, asking every row again.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --update' -l update -d 'Ask only what is new or changed since the finished output.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --retry-failed' -l retry-failed -d 'Ask only the rows that failed in the finished output.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --no-resume' -l no-resume -d 'Forget an unfinished run on this output.'
complete -c visioncli -n '__visioncli_new value \' classify\' -m --model' -s m -l model -r -F -a 'demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14' -d 'Hub id, local directory, alias (see `visioncli models list`), or demo.'
complete -c visioncli -n '__visioncli_new value \' classify\' --revision' -l revision -r -F -d 'Branch, tag or commit of the hub id.'
complete -c visioncli -n '__visioncli_new value \' classify\' --device' -l device -x -a 'auto cpu cuda mps' -d 'Where the model runs.'
complete -c visioncli -n '__visioncli_new value \' classify\' --dtype' -l dtype -x -a 'auto float32 bfloat16 float16' -d 'Numbers the model computes in.'
complete -c visioncli -n '__visioncli_new value \' classify\' --batch-size' -l batch-size -x -a 'auto' -d 'Pictures per forward pass.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --offline' -l offline -d 'Never reach for the model hub.'
complete -c visioncli -n '__visioncli_new value \' classify\' --image-col' -l image-col -r -F -d 'The manifest\'s column of paths or URLs. (default: a usual name, announced)'
complete -c visioncli -n '__visioncli_new value \' classify\' --id-col' -l id-col -r -F -d 'The manifest\'s column of ids. (default: id, else derived)'
complete -c visioncli -n '__visioncli_new value \' classify\' --version-col' -l version-col -r -F -d 'A column that changes when the picture does (for --update).'
complete -c visioncli -n '__visioncli_new flag \' classify\' -0 --null' -s 0 -l null -d 'Names on standard input end with NUL.'
complete -c visioncli -n '__visioncli_new value \' classify\' --limit' -l limit -r -F -d 'Take the first N rows.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --unique-ids' -l unique-ids -d 'Refuse ids that repeat.'
complete -c visioncli -n '__visioncli_new value \' classify\' --workers' -l workers -x -a 'auto' -d 'Threads that read and decode.'
complete -c visioncli -n '__visioncli_new value \' classify\' --per-host' -l per-host -r -F -d 'Requests to one host at a time.'
complete -c visioncli -n '__visioncli_new value \' classify\' --timeout' -l timeout -r -F -d 'Seconds for one whole answer.'
complete -c visioncli -n '__visioncli_new value \' classify\' --retries' -l retries -r -F -d 'Further attempts on 429, 5xx and lost connections.'
complete -c visioncli -n '__visioncli_at \' classify\'' -l header -r -F -d 'Sent with every request; repeatable.'
complete -c visioncli -n '__visioncli_new value \' classify\' --ca-cert' -l ca-cert -r -F -d 'Certificates to trust, PEM.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --guard' -l guard -d 'Refuse URLs that lead to private addresses.'
complete -c visioncli -n '__visioncli_new value \' classify\' --max-bytes' -l max-bytes -r -F -d 'Larger files fail their row.'
complete -c visioncli -n '__visioncli_new value \' classify\' --max-pixels' -l max-pixels -r -F -d 'Larger pictures fail their row, before memory is spent.'
complete -c visioncli -n '__visioncli_new value \' classify\' --alpha' -l alpha -x -a 'white black drop' -d 'What is behind transparent pixels.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --exact' -l exact -d 'Never decode a JPEG at a reduced size.'
complete -c visioncli -n '__visioncli_new value \' classify\' --max-error-rate' -l max-error-rate -r -F -d 'Stop when more than this share of at least 100 rows failed.'
complete -c visioncli -n '__visioncli_new value \' classify\' --fail-on' -l fail-on -x -a 'any new none' -d 'Which failed rows make the exit code 3.'
complete -c visioncli -n '__visioncli_new value \' classify\' --max-runtime' -l max-runtime -r -F -d 'Stop after this long (90s, 30m, 4h), resumable, exit 75.'
complete -c visioncli -n '__visioncli_new flag \' classify\' --dry-run' -l dry-run -d 'Say what would be done, and do nothing.'
complete -c visioncli -n '__visioncli_new flag \' classify\' -q --quiet' -s q -l quiet -d 'Only warnings and errors.'
complete -c visioncli -n '__visioncli_new flag \' classify\' -v --verbose' -s v -l verbose -d 'Each automatic choice with its reason.'
complete -c visioncli -n '__visioncli_new value \' classify\' --progress' -l progress -x -a 'auto bar plain json none' -d 'How progress is shown on standard error.'
complete -c visioncli -n '__visioncli_new value \' classify\' --summary' -l summary -r -F -d 'Write the run\'s summary as JSON.'
complete -c visioncli -n '__visioncli_new flag \' classify\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' embed\'' -s t -l text -r -F -d 'Embed this text in place of INPUT; repeatable.'
complete -c visioncli -n '__visioncli_new value \' embed\' --text-col' -l text-col -r -F -d 'The manifest\'s column of texts: beside its images, or alone.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --no-normalize' -l no-normalize -d 'Keep the vectors\' lengths, which are made 1 otherwise.'
complete -c visioncli -n '__visioncli_new value \' embed\' --store' -l store -x -a 'float32 float16' -d 'Numbers that vectors are stored in.'
complete -c visioncli -n '__visioncli_new value \' embed\' -o --output' -s o -l output -r -F -d 'FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
complete -c visioncli -n '__visioncli_new flag \' embed\' --overwrite' -l overwrite -d 'Replace a finished output, asking every row again.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --update' -l update -d 'Ask only what is new or changed since the finished output.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --retry-failed' -l retry-failed -d 'Ask only the rows that failed in the finished output.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --no-resume' -l no-resume -d 'Forget an unfinished run on this output.'
complete -c visioncli -n '__visioncli_new value \' embed\' -m --model' -s m -l model -r -F -a 'demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14' -d 'Hub id, local directory, alias (see `visioncli models list`), or demo.'
complete -c visioncli -n '__visioncli_new value \' embed\' --revision' -l revision -r -F -d 'Branch, tag or commit of the hub id.'
complete -c visioncli -n '__visioncli_new value \' embed\' --device' -l device -x -a 'auto cpu cuda mps' -d 'Where the model runs.'
complete -c visioncli -n '__visioncli_new value \' embed\' --dtype' -l dtype -x -a 'auto float32 bfloat16 float16' -d 'Numbers the model computes in.'
complete -c visioncli -n '__visioncli_new value \' embed\' --batch-size' -l batch-size -x -a 'auto' -d 'Pictures per forward pass.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --offline' -l offline -d 'Never reach for the model hub.'
complete -c visioncli -n '__visioncli_new value \' embed\' --image-col' -l image-col -r -F -d 'The manifest\'s column of paths or URLs. (default: a usual name, announced)'
complete -c visioncli -n '__visioncli_new value \' embed\' --id-col' -l id-col -r -F -d 'The manifest\'s column of ids. (default: id, else derived)'
complete -c visioncli -n '__visioncli_new value \' embed\' --version-col' -l version-col -r -F -d 'A column that changes when the picture does (for --update).'
complete -c visioncli -n '__visioncli_new flag \' embed\' -0 --null' -s 0 -l null -d 'Names on standard input end with NUL.'
complete -c visioncli -n '__visioncli_new value \' embed\' --limit' -l limit -r -F -d 'Take the first N rows.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --unique-ids' -l unique-ids -d 'Refuse ids that repeat.'
complete -c visioncli -n '__visioncli_new value \' embed\' --workers' -l workers -x -a 'auto' -d 'Threads that read and decode.'
complete -c visioncli -n '__visioncli_new value \' embed\' --per-host' -l per-host -r -F -d 'Requests to one host at a time.'
complete -c visioncli -n '__visioncli_new value \' embed\' --timeout' -l timeout -r -F -d 'Seconds for one whole answer.'
complete -c visioncli -n '__visioncli_new value \' embed\' --retries' -l retries -r -F -d 'Further attempts on 429, 5xx and lost connections.'
complete -c visioncli -n '__visioncli_at \' embed\'' -l header -r -F -d 'Sent with every request; repeatable.'
complete -c visioncli -n '__visioncli_new value \' embed\' --ca-cert' -l ca-cert -r -F -d 'Certificates to trust, PEM.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --guard' -l guard -d 'Refuse URLs that lead to private addresses.'
complete -c visioncli -n '__visioncli_new value \' embed\' --max-bytes' -l max-bytes -r -F -d 'Larger files fail their row.'
complete -c visioncli -n '__visioncli_new value \' embed\' --max-pixels' -l max-pixels -r -F -d 'Larger pictures fail their row, before memory is spent.'
complete -c visioncli -n '__visioncli_new value \' embed\' --alpha' -l alpha -x -a 'white black drop' -d 'What is behind transparent pixels.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --exact' -l exact -d 'Never decode a JPEG at a reduced size.'
complete -c visioncli -n '__visioncli_new value \' embed\' --max-error-rate' -l max-error-rate -r -F -d 'Stop when more than this share of at least 100 rows failed.'
complete -c visioncli -n '__visioncli_new value \' embed\' --fail-on' -l fail-on -x -a 'any new none' -d 'Which failed rows make the exit code 3.'
complete -c visioncli -n '__visioncli_new value \' embed\' --max-runtime' -l max-runtime -r -F -d 'Stop after this long (90s, 30m, 4h), resumable, exit 75.'
complete -c visioncli -n '__visioncli_new flag \' embed\' --dry-run' -l dry-run -d 'Say what would be done, and do nothing.'
complete -c visioncli -n '__visioncli_new flag \' embed\' -q --quiet' -s q -l quiet -d 'Only warnings and errors.'
complete -c visioncli -n '__visioncli_new flag \' embed\' -v --verbose' -s v -l verbose -d 'Each automatic choice with its reason.'
complete -c visioncli -n '__visioncli_new value \' embed\' --progress' -l progress -x -a 'auto bar plain json none' -d 'How progress is shown on standard error.'
complete -c visioncli -n '__visioncli_new value \' embed\' --summary' -l summary -r -F -d 'Write the run\'s summary as JSON.'
complete -c visioncli -n '__visioncli_new flag \' embed\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' doctor\'' -f
complete -c visioncli -n '__visioncli_new flag \' doctor\' --json' -l json -d 'One JSON object instead of text.'
complete -c visioncli -n '__visioncli_new flag \' doctor\' --online' -l online -d 'Also ask whether the hub can be reached.'
complete -c visioncli -n '__visioncli_new flag \' doctor\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' models\'' -f
complete -c visioncli -n '__visioncli_at \' models\'' -a list -d 'List every model that --model may name: bundled, short names, and what else of their families is cached.'
complete -c visioncli -n '__visioncli_at \' models\'' -a pull -d 'Fetch a checkpoint from the hub, check every file\'s hash, and print `<id> <commit> <directory>`.'
complete -c visioncli -n '__visioncli_at \' models\'' -a verify -d 'Hash every file again and compare: ok, changed, missing, or unknown. Exit 1 if any differs; needs no network.'
complete -c visioncli -n '__visioncli_new flag \' models\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' models list\'' -f
complete -c visioncli -n '__visioncli_new flag \' models list\' --json' -l json -d 'One JSON object a line instead of text.'
complete -c visioncli -n '__visioncli_new flag \' models list\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' models pull\'' -a 'siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14'
complete -c visioncli -n '__visioncli_new value \' models pull\' --revision' -l revision -r -F -d 'A branch, a tag or a commit; `main` by default.'
complete -c visioncli -n '__visioncli_new flag \' models pull\' --force' -l force -d 'Fetch files again that are there and right.'
complete -c visioncli -n '__visioncli_new flag \' models pull\' -h --help' -s h -l help -d 'Show this message and exit.'
complete -c visioncli -n '__visioncli_at \' models verify\'' -a 'siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14'
complete -c visioncli -n '__visioncli_new value \' models verify\' --revision' -l revision -r -F -d 'A branch, a tag or a commit; `main` by default.'
complete -c visioncli -n '__visioncli_new flag \' models verify\' --json' -l json -d 'One JSON object a line instead of text.'
complete -c visioncli -n '__visioncli_new flag \' models verify\' -h --help' -s h -l help -d 'Show this message and exit.'
