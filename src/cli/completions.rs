//! `crossfade completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::error::CliError;
use super::{Arguments, exit_code};
use crate::report;

/// Print a script for command completion in a shell
///
/// For example: crossfade completions bash > ~/.local/share/bash-completion/completions/crossfade
///
/// In bash, zsh and fish it completes names of runs too, if the environment says where the database is (`DATABASE_URL` or PGHOST), and of settings
/// after crossfade tune NAME.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "crossfade", &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match args.shell {
        Shell::Bash => bash(&script),
        Shell::Zsh => zsh(&script),
        Shell::Fish => fish(&script),
        _ => script.into_owned(),
    };
    report::result(&script)?;
    Ok(exit_code::DONE)
}

/// Returns the commands whose first argument is a run.
fn commands_of_runs() -> Vec<String> {
    let takes_run =
        |command: &&clap::Command| command.get_positionals().next().is_some_and(|first| first.get_id() == "name");
    Arguments::command().get_subcommands().filter(takes_run).map(|command| command.get_name().to_owned()).collect()
}

/// Returns the options that are followed by a value, of whatever command.
fn options_with_values() -> Vec<String> {
    let command = Arguments::command();
    let all = command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
    let takes_value = |arg: &&clap::Arg| arg.get_action().takes_values() && !arg.is_positional();
    let mut names = Vec::new();
    for arg in all.filter(takes_value) {
        names.extend(arg.get_short().map(|short| format!("-{short}")));
        names.extend(arg.get_long().map(|long| format!("--{long}")));
    }
    names.sort();
    names.dedup();
    names
}

/// bash: a function around the generated one offers names where a name is to be typed.
fn bash(script: &str) -> String {
    let names = BASH.replace("RUNS", &commands_of_runs().join("|")).replace("VALUES", &options_with_values().join("|"));
    let (functions, complete) = script.rsplit_once("\nif [[").unwrap_or((script, ""));
    format!(
        "{functions}\n{names}\nif [[{}",
        complete.replace("complete -F _crossfade ", "complete -F _crossfade_names ")
    )
}

const BASH: &str = r#"_crossfade_names() {
    _crossfade "$@"
    local cur="${COMP_WORDS[COMP_CWORD]}" command="" place=0 skip="" word i
    if [[ "$cur" == -* || "$cur" == "=" ]]; then
        return 0
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if [[ "$word" == "=" ]]; then
            skip=1
        elif [[ -n "$skip" ]]; then
            skip=""
        else
            case "$word" in
                VALUES) skip=1 ;;
                -*) ;;
                *) if [[ -z "$command" ]]; then command="$word"; else place=$((place + 1)); fi ;;
            esac
        fi
    done
    if [[ -n "$skip" ]]; then
        return 0
    fi
    case "$command,$place" in
        tune,0) ;;
        tune,*)
            COMPREPLY=($(compgen -S = -W "$(crossfade complete-names settings 2>/dev/null)" -- "$cur"))
            compopt -o nospace 2>/dev/null
            return 0
            ;;
    esac
    case "$command" in
        RUNS)
            if [[ $place -eq 0 ]]; then
                COMPREPLY=($(compgen -W "$(crossfade complete-names runs 2>/dev/null)" -- "$cur"))
            fi
            ;;
    esac
}
"#;

/// zsh: what the generated script would complete as a file is completed by a function.
fn zsh(script: &str) -> String {
    let line = |line: &str| match line.split_once(":_default'") {
        Some((before, after)) if before.contains(":name -- ") => format!("{before}:_crossfade_runs'{after}"),
        Some((before, after)) if before.contains(":settings -- ") => format!("{before}:_crossfade_settings'{after}"),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = script.lines().map(line).collect();
    lines.join("\n").replacen("autoload -U is-at-least\n", ZSH, 1) + "\n"
}

const ZSH: &str = r#"autoload -U is-at-least

_crossfade_runs() {
    local -a names
    names=(${(f)"$(crossfade complete-names runs 2>/dev/null)"})
    compadd -a names
}

_crossfade_settings() {
    local -a names
    names=(${(f)"$(crossfade complete-names settings 2>/dev/null)"})
    compadd -S = -a names
}
"#;

/// fish: more lines of the same kind.
fn fish(script: &str) -> String {
    let line = |command: &str, of: &str, more: &str| {
        let names = format!("(crossfade complete-names {of} 2>/dev/null){more}");
        format!("complete -c crossfade -n \"__fish_crossfade_using_subcommand {command}\" -f -a \"{names}\"\n")
    };
    let runs: String = commands_of_runs().iter().map(|command| line(command, "runs", "")).collect();
    script.to_owned() + &runs + &line("tune", "settings", "=")
}
