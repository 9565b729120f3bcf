//! Every command that README.md and the pages in docs/ show is one that the command line understands.

use clap::Parser as _;

use super::Arguments;

/// Returns the words of a command as a shell makes them, without what it does besides: `# comments`, `> files`, `| pipes`.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#' | '>' | '|' | ';' | '<') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_that_is_shown_is_understood() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages.chain([root.join("README.md")]) {
        for line in std::fs::read_to_string(&page).unwrap().lines() {
            let Some(command) = line.strip_prefix("$ ").filter(|line| line.starts_with("crossfade ")) else { continue };
            count += 1;
            if let Err(error) = Arguments::try_parse_from(words(command)) {
                wrong.push(format!("{}: {command}\n{error}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 30, "only {count} commands were found");
}
