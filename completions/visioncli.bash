# Completion of visioncli for bash 4.2 and newer; needs nothing else. Written by `make completions`: do not edit.
# Source this file from ~/.bashrc.

# Fill `rows` with what can follow the command $1: names|kind|words|help. A + before the names: may be given again;
# <> is the argument. A kind is command, flag, or how a value completes: words, files (where no word fits), at (@FILE).
_visioncli_rows() {
    case $1 in
    '') rows=(
            'classify|command||Zero-shot classification: every picture against a list of labels.'
            'embed|command||Embeddings of pictures, of texts, or of both.'
            'similar|command||Pictures against texts, nearest neighbours in an index, or its near-duplicates.'
            'segment|command||Instance masks for text prompts.'
            'detect|command||Boxes for text prompts.'
            'depth|command||One depth map per picture; larger is farther.'
            'serve-compat|command||Answer five documented REST APIs, so that their clients notice no difference.'
            'report|command||One HTML page that shows a result; or, with --diff, what changed between two.'
            'doctor|command||Show what this machine has: devices, dtypes, codecs, versions, folders.'
            'parity|command||Compare two devices, or two precisions of one: the same pictures through both, their vectors side by side.'
            'models|command||What can run here: list it, fetch and pin it, check it.'
            '--version|flag||Show the version.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' classify') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ -l --labels|at||What the pictures may show; @FILE has one a line; repeatable.'
            '+ --template|words||How a label becomes a sentence; several are averaged. (default: {})'
            '--scoring|words|softmax sigmoid cosine|softmax: one of the labels; sigmoid: each by itself; cosine: raw similarity.'
            '-k --top-k|words||Keep the best K labels. (default: all)'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '--hef|files||The model'\''s picture tower, compiled for the device.'
            '--text-hef|files||Its text tower (Hailo-10H, 15H). (default: the model'\''s own, on the CPU)'
            '--text-embeddings|files||Texts with their vectors, computed before, in place of a text tower.'
            '--device-timeout-ms|words||How long the device may take for a picture. (default: 5000)'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' embed') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ -t --text|words||Embed this text in place of INPUT; repeatable.'
            '--text-col|words||The manifest'\''s column of texts: beside its images, or alone.'
            '--features|words|pooled tokens|One vector a picture, or the model'\''s last hidden state: class token, registers, patches.'
            '--no-normalize|flag||Keep the vectors'\'' lengths, which are made 1 otherwise.'
            '--store|words|float32 float16 npz|Numbers that vectors are stored in; npz: a file per picture (tokens).'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '--hef|files||The model'\''s picture tower, compiled for the device.'
            '--text-hef|files||Its text tower (Hailo-10H, 15H). (default: the model'\''s own, on the CPU)'
            '--text-embeddings|files||Texts with their vectors, computed before, in place of a text tower.'
            '--device-timeout-ms|words||How long the device may take for a picture. (default: 5000)'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' similar') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ -t --text|words||A text to compare with, or to look for; repeatable.'
            '+ --texts|at||Several texts; @FILE has one a line; repeatable.'
            '-k --top-k|words||Hits a query (default: 10), or texts a picture (all).'
            '--index|files||What `visioncli embed` wrote: look there, not in INPUT.'
            '+ --image|files||A picture to look for; repeatable.'
            '+ --row|words||A row whose neighbours to look for; loads no model; repeatable.'
            '+ --minus|words||Away from this text. Each --text, --image and --row is a query of its own, but with --minus or a weight (a.jpg*0.5) all are one: their weighted sum.'
            '--min-score|words||The least cosine of a hit or a near-duplicate, -1 to 1.'
            '--approx|flag||By a graph that may miss a hit, built once; its recall is told.'
            '--with-embedding|flag||Hits carry their vectors.'
            '--no-sidecar|flag||Write nothing beside the index: it is read whole at every search.'
            '--pairs|flag||All pairs of rows of at least --min-score, exactly.'
            '--groups|flag||Rows that such pairs join, directly or through others.'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '--hef|files||The model'\''s picture tower, compiled for the device.'
            '--text-hef|files||Its text tower (Hailo-10H, 15H). (default: the model'\''s own, on the CPU)'
            '--text-embeddings|files||Texts with their vectors, computed before, in place of a text tower.'
            '--device-timeout-ms|words||How long the device may take for a picture. (default: 5000)'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' segment') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ -p --prompts|at||What to look for; @FILE has one a line; repeatable.'
            '--threshold|words||Objects with a lower score are left out.'
            '--mask-threshold|words||A pixel belongs to the mask above this.'
            '--resolve-overlaps|flag||Give each pixel to one object, the best-scoring.'
            '--masks|words|rle polygons png|COCO run lengths, outlines, or a PNG file per object.'
            '--overlay|files||Also draw what was found on each picture that is asked.'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' detect') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ -p --prompts|at||What to look for; @FILE has one a line; repeatable.'
            '--box-threshold|words||Boxes with a lower score are left out.'
            '--text-threshold|words||A word belongs to the phrase above this.'
            '--nms|words||Of two boxes of one label that overlap more, the lesser goes. (default: all stay)'
            '--overlay|files||Also draw what was found on each picture that is asked.'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' depth') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '+ --export|words|png16 npz glb ply preview|Files to write for each picture: 16-bit PNG, arrays, point clouds, colours to look at; repeatable. (default: png16)'
            '--depth-size|words|original model|The map'\''s pixels: the picture'\''s own, or the fewer that the model gives.'
            '--focal|words||Focal length in pixels of the picture, for models that give metres. (default: the EXIF'\''s)'
            '--focal-col|words||The manifest'\''s column of focal lengths in pixels.'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '-o --output|files||FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).'
            '--overwrite|flag||Replace a finished output, asking every row again.'
            '--update|flag||Ask only what is new or changed since the finished output.'
            '--retry-failed|flag||Ask only the rows that failed in the finished output.'
            '--no-resume|flag||Forget an unfinished run on this output.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|Hub id, local directory, alias (see `visioncli models list`), or demo.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--device|words|auto cpu cuda mps hailo|Where the model runs.'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the model computes in.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--version-col|words||A column that changes when the picture does (for --update).'
            '--unique-ids|flag||Refuse ids that repeat.'
            '--max-error-rate|words||Stop when more than this share of at least 100 rows failed.'
            '--fail-on|words|any new none|Which failed rows make the exit code 3.'
            '--max-runtime|words||Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.'
            '--dry-run|flag||Check the whole command, say what it would do, and do nothing.'
            '-q --quiet|flag||Only warnings and errors.'
            '-v --verbose|flag||Each automatic choice with its reason.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '--summary|files||Write the run'\''s summary as JSON.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' serve-compat') rows=(
            '+ --api|words|all runpod hf-endpoint vision-models hailo-clip sagemaker-clip|runpod, hf-endpoint, vision-models, hailo-clip, sagemaker-clip; repeatable.'
            '--port|words||One port for every API without its own. (default: each API'\''s native port)'
            '--host|words||Address to listen on.'
            '--certfile|files||Certificate for HTTPS, PEM.'
            '--keyfile|files||The certificate'\''s key, PEM. (default: in --certfile)'
            '--config|files||Flags by name, or the documented hailo-clip.yaml.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|For every API and task. (default: those of the documents)'
            '+ --model-for|words||For one task: classify, embed, segment, detect, depth, features; repeatable.'
            '--device|words|auto cpu cuda mps hailo|Where models run.'
            '--strict-device|flag||Refuse a request for a device that is not here. (default: fall back, and say so)'
            '--dtype|words|auto float32 bfloat16 float16|Numbers the models compute in.'
            '--offline|flag||Never reach for the model hub.'
            '--preload --no-preload|flag||Load at the start, or at the first request. (default: as the originals)'
            '--auto-load --no-auto-load|flag||vision-models: load what a request needs.'
            '--idle-unload|words||Unload what nobody asked for so long. (default: never)'
            '--hef|files||The model'\''s picture tower, compiled for the device.'
            '--text-hef|files||Its text tower (Hailo-10H, 15H). (default: the model'\''s own, on the CPU)'
            '--text-embeddings|files||Texts with their vectors, computed before, in place of a text tower.'
            '--device-timeout-ms|words||How long the device may take for a picture. (default: 5000)'
            '--max-batch|words||Pictures in a forward pass. (default: by device)'
            '--max-wait-ms|words||How long the device waits for pictures being decoded.'
            '--max-queue|words||Requests at once for each API, the rest is told to come back. (default: 256; hailo-clip 10)'
            '--max-jobs|words||Jobs that may wait for each API, the rest is told to come back.'
            '--request-timeout|words||For one whole answer.'
            '--hang-after|words||For one step of a batch; a device that takes longer hangs, and is started again.'
            '--grace|words||For what runs when the server is told to stop.'
            '--jobs-db|files||Asynchronous jobs, SQLite. (default: in the user'\''s state folder)'
            '+ --api-key|words||Ask clients for it; repeatable. VISIONCLI_API_KEY may hold several, with commas.'
            '+ --cors-origin|words||Browsers'\'' pages that may ask; repeatable. (default: vision-models all, others none)'
            '+ --allow-host|words||Private address that pictures may come from; repeatable.'
            '--ca-cert|files||Certificates to trust when fetching pictures, PEM.'
            '--max-bytes|words||Larger pictures are refused.'
            '--max-pixels|words||Larger pictures are refused, before memory is spent.'
            '--upright|flag||Turn pictures as their EXIF says, as jobs do. (default: as the originals, not)'
            '--alpha|words|white black drop|What is behind transparent pixels; drop: as the originals.'
            '--fidelity|words|document original|Where an API'\''s document and its original code differ: the document, or the code.'
            '--log-format|words|text json|Of what is said on standard error.'
            '--log-level|words|debug info warning error|Least important that is said; each request is info.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' report') rows=(
            '<>|files||An output: FILE.parquet, FILE.jsonl or DIR/; with --diff OLD and NEW.'
            '-o --output|files||The page to write.'
            '--overwrite|flag||Replace the page if it is there.'
            '--sample|words||Rows to show at most, extremes and failures among them.'
            '--seed|words||Which rows are drawn at random.'
            '--summary|files||The run'\''s summary, for its timings.'
            '--root|files||Where the pictures are now, if they were moved.'
            '--fetch|flag||Also fetch pictures that are URLs; else only files are read.'
            '--min-score|words||Cosine from which embeddings are near-duplicates.'
            '--diff|flag||What changed between two outputs of one task.'
            '--max-flips|words||Exit 3 if more rows have another label or other objects.'
            '--max-drift|words||Exit 3 if a row drifts further; README has the units.'
            '--max-new-failures|words||Exit 3 if more rows fail that did not before.'
            '-q --quiet|flag||Only warnings and errors.'
            '--progress|words|auto bar plain json none|How progress is shown on standard error.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' doctor') rows=(
            '--json|flag||One JSON object instead of text.'
            '--online|flag||Also ask whether the hub can be reached.'
            '--hef|files||Also try this file on the Hailo devices; exit 1 if it fits none.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' parity') rows=(
            '<>|files||Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -.'
            '--image-col|words||The manifest'\''s column of paths or URLs. (default: a usual name, announced)'
            '--id-col|words||The manifest'\''s column of ids. (default: id, else derived)'
            '-0 --null|flag||Names on standard input end with NUL.'
            '--limit|words||Take the first N rows.'
            '--workers|words|auto|Threads that read and decode.'
            '--per-host|words||Requests to one host at a time.'
            '--timeout|words||Seconds for one whole answer.'
            '--retries|words||Further attempts on 429, 5xx and lost connections.'
            '+ --header|words||Sent with every request; repeatable.'
            '--ca-cert|files||Certificates to trust, PEM.'
            '--guard|flag||Refuse URLs that lead to private addresses.'
            '--max-bytes|words||Larger files fail their row.'
            '--max-pixels|words||Larger pictures fail their row, before memory is spent.'
            '--alpha|words|white black drop|What is behind transparent pixels.'
            '--exact|flag||Never decode a JPEG at a reduced size.'
            '+ --device|words||Given twice: the one that is right, and the one that is tried; cpu:float32, cuda:0:float16, hailo.'
            '+ -l --labels|at||Count the pictures whose best label changes; repeatable. (default: whose nearest neighbour changes)'
            '--tolerance|words||Largest 1 - cosine of two vectors; beyond it exit 3.'
            '-m --model|files|demo siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|A model that embeds.'
            '--revision|words||Branch, tag or commit of the hub id.'
            '--batch-size|words|auto|Pictures per forward pass.'
            '--offline|flag||Never reach for the model hub.'
            '--hef|files||The model'\''s picture tower, compiled for the device.'
            '--text-hef|files||Its text tower (Hailo-10H, 15H). (default: the model'\''s own, on the CPU)'
            '--text-embeddings|files||Texts with their vectors, computed before, in place of a text tower.'
            '--device-timeout-ms|words||How long the device may take for a picture. (default: 5000)'
            '--summary|files||Write the comparison as JSON.'
            '-q --quiet|flag||Only warnings and errors beside the result.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' models') rows=(
            'list|command||List every model that --model may name: bundled, short names, and what else of their families is cached.'
            'pull|command||Fetch a checkpoint from the hub, check every file'\''s hash, and print `<id> <commit> <directory>`.'
            'verify|command||Hash every file again and compare: ok, changed, missing, or unknown. Exit 1 if any differs; needs no network.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' models list') rows=(
            '--json|flag||One JSON object a line instead of text.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' models pull') rows=(
            '<>|files|siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|A hub id (org/name) or a short name.'
            '--revision|words||A branch, a tag or a commit; `main` by default.'
            '--force|flag||Fetch files again that are there and right.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
    ' models verify') rows=(
            '<>|files|siglip2-base-patch16-224 siglip2-base-patch16-512 siglip2-so400m-patch14-384 siglip-base-patch16-224 siglip-so400m-patch14-384 clip-vit-base-patch32 clip-vit-base-patch16 clip-vit-large-patch14 clip-resnet-50 clip-resnet-101 clip-resnet-50x4 clip-resnet-50x16 clip-resnet-50x64 dinov3-vits16 dinov3-vitb16 dinov3-vitl16 dinov3-convnext-tiny sam3 grounding-dino-tiny grounding-dino-base da3-small da3-base da3-large da3-giant da3mono-large da3metric-large da3nested-giant-large depth-anything-v2-small|A hub id, a short name, a directory, or demo.'
            '--revision|words||A branch, a tag or a commit; `main` by default.'
            '--json|flag||One JSON object a line instead of text.'
            '-h --help|flag||Show this message and exit.'
    ) ;;
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
        ' classify' | ' embed' | ' similar' | ' segment' | ' detect' | ' depth' | ' serve-compat' | ' report' | ' doctor' | ' parity' | ' models' | ' models list' | ' models pull' | ' models verify') path+=" $word" ;;
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
