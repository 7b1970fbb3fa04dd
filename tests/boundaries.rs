//! The import table of the house: which room may name which. A new arrow is a decision; it is made
//! here first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Open to every room.
const GROUND: [&str; 4] = ["ids", "limits", "time", "stdx"];

/// Each room and the rooms it may import besides the ground and itself.
fn table() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("ids", vec![]),
        ("limits", vec![]),
        ("time", vec![]),
        ("stdx", vec![]),
        ("wire", vec![]),
        ("batch", vec![]),
        ("journal", vec!["batch"]),
        ("log", vec!["batch"]),
        ("producer", vec!["batch"]),
        ("fetch", vec![]),
        ("group", vec!["wire"]),
        ("catalog", vec![]),
        ("api", vec!["wire", "batch", "log", "producer", "fetch", "group", "catalog"]),
        ("shard", vec!["batch", "journal", "log", "producer", "fetch", "group", "catalog", "api"]),
        ("config", vec!["catalog"]),
        (
            "shell",
            vec!["wire", "journal", "log", "group", "catalog", "api", "shard", "config", "batch"],
        ),
    ])
}

/// Crates that only the shell may name.
const MACHINE: [&str; 7] =
    ["glommio", "io_uring", "libc", "core_affinity", "rtrb", "signal_hook", "tracing_subscriber"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("src is readable");
    for entry in entries {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first part of every path below `crate::` that a source names, in `use` lists too.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            named.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in list.char_indices() {
            if start && depth == 0 {
                named.insert(word(&list[at..]));
                start = false;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ => {}
            }
        }
    }
    named
}

#[test]
fn rooms_name_only_rooms_above_them() {
    let table = table();
    let mut files = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    let mut wrong = Vec::new();
    let mut checked = BTreeSet::new();
    for file in files {
        let inner = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("in src");
        let first = inner.components().next().expect("a file has a name");
        let room = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let Some((room, allowed)) = table.get_key_value(room.as_str()) else {
            wrong.push(format!("{room} is no room of the table"));
            continue;
        };
        checked.insert(*room);
        let source = fs::read_to_string(&file).expect("a source is text");
        for named in rooms_named(&source) {
            let known = table.contains_key(named.as_str());
            let fine = named == **room
                || GROUND.contains(&named.as_str())
                || allowed.contains(&named.as_str())
                || !known;
            if !fine {
                wrong.push(format!("{} names {named}", inner.display()));
            }
        }
        for machine in MACHINE {
            if *room != "shell" && source.contains(&format!("{machine}::")) {
                wrong.push(format!("{} names the crate {machine}", inner.display()));
            }
        }
        let is_unsafe = source.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn")
        });
        if is_unsafe && *room != "shell" {
            wrong.push(format!("{} has unsafe code", inner.display()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(checked.len(), table.len(), "every room of the table exists");
}

#[test]
fn the_reader_of_paths_sees_lists_and_nesting() {
    let source = "use crate::log::{A, B};\nuse crate::{batch::{X, Y}, wire};\n// crate::shell\nlet x = crate::ids::Offset(0);";
    let named: Vec<String> = rooms_named(source).into_iter().collect();
    assert_eq!(named, ["batch", "ids", "log", "wire"]);
}
