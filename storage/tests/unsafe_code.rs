//! SECURITY.md says how many blocks of unsafe code there are in each module, and that is so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Blocks and implementations with `unsafe` in the sources below a directory, by file.
fn count(directory: &Path, root: &Path, counts: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            count(&path, root, counts);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let blocks =
            |line: &str| line.matches("unsafe {").count() + line.matches("unsafe impl").count();
        let blocks: usize = text.lines().filter(is_code).map(blocks).sum();
        if blocks > 0 {
            let name = path.strip_prefix(root).expect("below it").display().to_string();
            counts.insert(name, blocks);
        }
    }
}

/// The rows of the table: a module's file in code marks, and a number.
fn published(text: &str) -> BTreeMap<String, usize> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().strip_suffix('`')?;
        Some((name.to_owned(), cells.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn what_is_published_of_unsafe_code_is_so() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(package.join("../SECURITY.md")).expect("SECURITY.md");
    let mut counts = BTreeMap::new();
    count(&package.join("src"), &package.join("src"), &mut counts);
    assert!(!counts.is_empty());
    assert_eq!(published(&text), counts);
}
