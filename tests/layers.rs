//! Which module may use which: a module uses those before it in [`LAYERS`], never one after it, and the files of one
//! module do not use each other in a circle. Needs no server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of the library, lowest first; the rows are those of the table in ARCHITECTURE.md.
const LAYERS: &[&[&str]] = &[
    &["sql", "lines", "amounts", "ident", "names", "phase"],
    &["plan"],
    &["run"],
    &["event"],
    &["change"],
    &["export", "import"],
    &["latest", "pulse", "failpoint"],
    &["pg"],
    &["catalog"],
    &["ledger"],
    &["notify"],
    &["throttle"],
    &["engine"],
    &["estimate"],
    &["runner"],
    &["view"],
    &["report"],
    &["serve"],
    &["testkit"],
    &["cli"],
];

/// Files that use each other all the same. The list may only become shorter.
const CIRCLES: &[&str] = &[
    // An entry can end the leases of all processes that have joined, in its own transaction, and to join locks the run's row,
    // as an entry does: two sides of one rule (ARCHITECTURE.md, "The ledger").
    "ledger::leases -> ledger::log -> ledger::leases",
];

/// A module by its path from the root of the library, or an item in it: `["run", "key"]`, `["run", "key", "StepKey"]`.
type ModulePath = Vec<String>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of Rust below `directory`.
fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file: no comments, nothing between quotes, nothing that only tests have.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            quoted(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#\"") {
            let close = if rest.starts_with("r\"") { "\"" } else { "\"#" };
            3 + rest[3..].find(close).map_or(0, |end| end + close.len())
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    without_tests(&code)
}

/// The length of the string at the beginning of `text`.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the character literal at the beginning of `text`; 1 if it is a lifetime.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((at, _))) => text[at + 1..].find('\'').map_or(1, |end| at + end + 2),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn without_tests(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut depth = 0;
        let end = part.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ';' => {}
                _ => return None,
            }
            (depth == 0).then_some(at + 1)
        });
        kept.push_str(&part[end.unwrap_or(part.len())..]);
    }
    kept
}

/// The pieces of `code`: words, `::`, and every other sign alone.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            word => word,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Reads one path, with the braces that may follow it, at `tokens[*at]`: each of the paths it stands for, with the name
/// that it has here (which `as` changes).
fn paths(tokens: &[&str], at: &mut usize, start: &[&str]) -> Vec<(ModulePath, String)> {
    let mut path: Vec<_> = start.to_vec();
    loop {
        match tokens.get(*at) {
            Some(&"{") => {
                *at += 1;
                let mut found = Vec::new();
                while tokens.get(*at).is_some_and(|token| *token != "}") {
                    if tokens[*at] == "," {
                        *at += 1;
                    } else {
                        found.extend(paths(tokens, at, &path));
                    }
                }
                *at += 1;
                return found;
            }
            Some(word) => path.push(word),
            None => {}
        }
        *at += 1;
        if tokens.get(*at) == Some(&"::") {
            *at += 1;
            // `Vec::<T>::new`: what follows is no part of the path.
            if tokens.get(*at) != Some(&"<") {
                continue;
            }
        }
        let mut name = path.last().copied().unwrap_or_default();
        if tokens.get(*at) == Some(&"as") {
            name = tokens.get(*at + 1).copied().unwrap_or_default();
            *at += 2;
        }
        if path.last() == Some(&"self") && path.len() > 1 {
            path.pop();
        }
        return vec![(path.iter().map(|part| (*part).to_owned()).collect(), name.to_owned())];
    }
}

/// One file of the library.
struct Module {
    path: ModulePath,
    /// Everything that it names by a path from the root, from itself or from above.
    uses: BTreeSet<ModulePath>,
    /// What its `use` declarations make of a name.
    names: BTreeMap<String, ModulePath>,
}

/// Reads one file, which is the module `path`.
fn module(path: ModulePath, text: &str) -> Module {
    let code = code(text);
    let tokens = tokens(&code);
    let (mut uses, mut names) = (BTreeSet::new(), BTreeMap::new());
    let mut at = 0;
    while at < tokens.len() {
        let declared = tokens[at] == "use";
        at += usize::from(declared);
        let starts = matches!(tokens.get(at), Some(&("crate" | "super" | "self"))) && tokens.get(at + 1) == Some(&"::");
        if !declared && !starts {
            at += 1;
            continue;
        }
        for (found, name) in paths(&tokens, &mut at, &[]) {
            let found = absolute(&path, &found);
            if starts {
                uses.insert(found.clone());
            }
            if declared {
                names.insert(name, found);
            }
        }
    }
    Module { path, uses, names }
}

/// `found`, written in the module `at`, as a path from the root. A path that begins with no keyword begins with a child.
fn absolute(at: &[String], found: &[String]) -> ModulePath {
    let mut path = at.to_vec();
    for (place, part) in found.iter().enumerate() {
        match part.as_str() {
            "crate" if place == 0 => path.clear(),
            "self" => {}
            "super" => drop(path.pop()),
            _ => path.push(part.clone()),
        }
    }
    path
}

/// All files of the library but its root.
fn modules() -> Vec<Module> {
    let mut sources = Vec::new();
    let src = root().join("src");
    files(&src, &mut sources);
    let mut modules = Vec::new();
    for source in sources {
        let relative = source.strip_prefix(&src).unwrap().with_extension("");
        let path: ModulePath = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let only_tests = path.iter().any(|part| part == "tests");
        if path != ["lib"] && path != ["main"] && !only_tests {
            modules.push(module(path, &std::fs::read_to_string(source).unwrap()));
        }
    }
    assert!(modules.len() > 150, "only {} files were found", modules.len());
    modules.sort_by(|a, b| a.path.cmp(&b.path));
    modules
}

/// The file that `path` comes from: the deepest module that it names, through what that module takes from its children.
fn home(modules: &BTreeMap<&[String], &Module>, path: &[String]) -> ModulePath {
    let mut path = path.to_vec();
    // An item passes through few hands.
    for _ in 0..8 {
        let Some(length) = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length])) else { break };
        let module = modules[&path[..length]];
        match path.get(length).and_then(|name| module.names.get(name)) {
            Some(named) if *named != path[..=length] => path = [named.as_slice(), &path[length + 1..]].concat(),
            _ => return path[..length].to_vec(),
        }
    }
    path
}

fn text(path: &[String]) -> String {
    path.join("::")
}

#[test]
fn a_module_uses_only_those_below_it() {
    let order: Vec<_> = LAYERS.concat();
    let place = |name: &str| order.iter().position(|module| *module == name);
    let modules = modules();
    let (mut upward, mut arrows) = (BTreeSet::new(), BTreeSet::new());
    for module in &modules {
        let from = &module.path[0];
        let here = place(from).unwrap_or_else(|| panic!("{from} is in no layer: give it a place in LAYERS"));
        for used in &module.uses {
            let to = used.first().map(String::as_str).unwrap_or_default();
            let there = place(to);
            if there.is_none_or(|there| there > here) {
                upward.insert(format!("{} uses {}", text(&module.path), text(used)));
            } else if there < Some(here) {
                arrows.insert((from, to));
            }
        }
    }
    let upward: Vec<_> = upward.into_iter().collect();
    assert!(upward.is_empty(), "a module may only use those before it in LAYERS:\n{}", upward.join("\n"));
    assert!(arrows.len() > 60, "only {} arrows were found", arrows.len());
    for name in order {
        assert!(modules.iter().any(|module| module.path == [name]), "{name} has a layer but no file");
    }
}

#[test]
fn files_of_a_module_use_each_other_in_one_direction() {
    let modules = modules();
    let known: BTreeMap<_, _> = modules.iter().map(|module| (module.path.as_slice(), module)).collect();
    // From file to file, between two children of one parent.
    let mut arrows: BTreeMap<ModulePath, BTreeSet<ModulePath>> = BTreeMap::new();
    for module in &modules {
        for used in &module.uses {
            let to = home(&known, used);
            let shared = module.path.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if shared > 0 && shared < module.path.len() && shared < to.len() {
                arrows.entry(module.path[..=shared].to_vec()).or_default().insert(to[..=shared].to_vec());
            }
        }
    }
    assert!(arrows.len() > 60, "only {} files with arrows were found", arrows.len());
    let mut circles = BTreeSet::new();
    for start in arrows.keys() {
        if let Some(circle) = circle(&arrows, start) {
            circles.insert(circle);
        }
    }
    let allowed: BTreeSet<_> = CIRCLES.iter().map(|circle| (*circle).to_owned()).collect();
    let more: Vec<_> = circles.difference(&allowed).cloned().collect();
    assert!(more.is_empty(), "these files use each other:\n{}", more.join("\n"));
    let gone: Vec<_> = allowed.difference(&circles).cloned().collect();
    assert!(
        gone.is_empty(),
        "these files do not use each other any more; remove them from CIRCLES:\n{}",
        gone.join("\n")
    );
}

/// The shortest way from `start` back to it, told from its first member by name.
fn circle(arrows: &BTreeMap<ModulePath, BTreeSet<ModulePath>>, start: &ModulePath) -> Option<String> {
    let mut ways = std::collections::VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in arrows.get(*way.last()?).into_iter().flatten() {
            if next == start {
                let first = way.iter().enumerate().min_by_key(|(_, path)| **path)?.0;
                let mut told: Vec<_> = way[first..].iter().chain(&way[..first]).map(|path| text(path)).collect();
                told.push(told[0].clone());
                return Some(told.join(" -> "));
            }
            if seen.insert(next) {
                ways.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

/// What src/lib.rs makes public without the feature `internals`.
fn public() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let code = code(&text);
    let mut public = BTreeSet::new();
    let mut before = "";
    for line in code.lines().map(str::trim) {
        let hidden = before.starts_with("#[cfg") || before.starts_with("#[doc(hidden)]");
        if let Some(name) = line.strip_prefix("pub mod ").filter(|_| !hidden) {
            public.insert(name.trim_end_matches([';', '{', ' ']).to_owned());
        }
        before = line;
    }
    // What is used inside a module stays behind its name.
    let root = code.split("pub mod results").next().unwrap_or_default();
    public.extend(module(Vec::new(), root).names.into_keys());
    public
}

#[test]
fn examples_use_only_what_is_public() {
    let public = public();
    let mut sources = Vec::new();
    files(&root().join("examples"), &mut sources);
    assert!(sources.len() >= 4, "only {} examples were found", sources.len());
    for source in sources {
        let code = code(&std::fs::read_to_string(&source).unwrap());
        let tokens = tokens(&code);
        let mut count = 0;
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] != "crossfade" || tokens.get(at + 1) != Some(&"::") {
                at += 1;
                continue;
            }
            for (path, _) in paths(&tokens, &mut at, &[]) {
                let first = path.get(1).map(String::as_str).unwrap_or_default();
                assert!(public.contains(first), "{} uses {}, which is not public", source.display(), text(&path));
                count += 1;
            }
        }
        assert!(count > 0, "{} does not use the library", source.display());
    }
}

#[test]
fn the_table_in_architecture_has_the_same_order() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = document.lines().skip_while(|line| !line.starts_with("| module")).skip(2);
    let rows: Vec<Vec<&str>> = table
        .map_while(|line| line.strip_prefix("| "))
        .map(|row| row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2).collect())
        .collect();
    assert_eq!(rows, LAYERS, "the table of modules in ARCHITECTURE.md is not the list of this test");
}
