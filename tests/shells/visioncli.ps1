# Completion of visioncli for PowerShell 7. Written by `make completions`: do not edit.
# Dot-source this file from $PROFILE. Where it offers nothing, PowerShell offers files.

Register-ArgumentCompleter -Native -CommandName visioncli -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # What can follow a command: names|kind|words|help. A + before the names: may be given again; <> is the argument.
    $table = @{
#:rows:
    }

    $path = ''
    $given = @()
    foreach ($element in @($commandAst.CommandElements | Select-Object -Skip 1)) {
        if ($element.Extent.EndOffset -ge $cursorPosition) { break }
        $word = $element.Extent.Text
        if ($table.ContainsKey("$path $word")) { $path = "$path $word" } else { $given += $word }
    }
    $option = $given | Select-Object -Last 1

    $rows = foreach ($row in $table[$path]) {
        $names, $kind, $words, $help = $row -split '\|', 4
        [pscustomobject]@{
            Names = @($names -split ' ' | Where-Object { $_ -ne '+' })
            Kind = $kind
            Words = @($words -split ' ' | Where-Object { $_ })
            Help = if ($help) { $help } else { $names }
            Repeats = $names.StartsWith('+ ')
        }
    }

    $value = $rows | Where-Object { $_.Kind -notin 'command', 'flag' -and $_.Names -ccontains $option } | Select-Object -First 1
    if (-not $value -and -not $wordToComplete.StartsWith('-')) {
        $value = $rows | Where-Object { $_.Names -ccontains '<>' } | Select-Object -First 1
    }
    if ($value) {
        $value.Words | Where-Object { $_.StartsWith($wordToComplete, 'Ordinal') } | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
        }
        return
    }

    foreach ($row in $rows) {
        if ($row.Names -ccontains '<>') { continue }
        if (-not $row.Repeats -and @($row.Names | Where-Object { $given -ccontains $_ })) { continue }
        if (-not $wordToComplete -and $row.Kind -ne 'command' -and @($rows)[0].Kind -eq 'command') { continue }
        $type = if ($row.Kind -eq 'command') { 'ParameterValue' } else { 'ParameterName' }
        $row.Names | Where-Object { $_.StartsWith($wordToComplete, 'Ordinal') } | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new($_, $_, $type, $row.Help)
        }
    }
}
