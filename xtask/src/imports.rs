//! Which file of a crate needs which, by the names it uses; read from the source with `syn`.
//!
//! A file needs the file that *defines* a name: imports and paths are followed through `crate`, `self`, `super`, modules and
//! re-exports to the definition. A re-export alone does not count, and neither does code for tests or documentation only. Types
//! that are used without their name (through a method or inference) are not seen, and neither are all imports of a name except
//! the last, as for several systems.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, TraitItemFn, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The modules of one crate; the first one is its root.
#[derive(Debug)]
pub(crate) struct Crate {
    modules: Vec<Module>,
}

/// A module: a file, or part of one.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    parent: usize,
    children: BTreeMap<String, usize>,
    /// What it defines.
    items: BTreeSet<String>,
    /// The path of each name that it imports or re-exports.
    imports: BTreeMap<String, Vec<String>>,
    /// The modules of which it imports or re-exports everything.
    globs: Vec<Vec<String>>,
    /// The paths in its code, those of private imports among them.
    uses: BTreeSet<Vec<String>>,
}

/// The size of a file's code, without blank lines, comments and tests.
#[derive(Debug, Default)]
pub(crate) struct Size {
    pub(crate) lines: usize,
    /// The functions, with the lines of each from its signature to its end.
    pub(crate) functions: Vec<(String, usize)>,
}

/// Files that need each other, with the names that cause each tie.
pub(crate) type Circle = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// What a path leads to.
enum Target {
    Module(usize),
    Item(usize, String),
    /// Another crate, a local name, or one that a macro makes.
    Outside,
}

/// Reads a crate from its root file (`lib.rs`), with all modules below it, and measures its files.
///
/// # Errors
/// A file does not exist or does not parse.
pub(crate) fn read(
    root: &Path,
    text_of: &dyn Fn(&Path) -> Option<String>,
) -> Result<(Crate, BTreeMap<PathBuf, Size>)> {
    let mut reader = Reader {
        text_of,
        modules: Vec::new(),
        sizes: BTreeMap::new(),
    };
    reader.file(root, Path::new(""), 0)?;
    let modules = reader.modules;
    Ok((Crate { modules }, reader.sizes))
}

impl Crate {
    /// Finds the groups of files in which each needs each other, directly or through more of them.
    pub(crate) fn circles(&self) -> Vec<Circle> {
        let ties = self.ties();
        let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
            ties.keys().map(|file| (file, reach(&ties, file))).collect();
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        for (file, reached) in &reach {
            if !reached.contains(*file) || seen.contains(file) {
                continue;
            }
            let is_in = |other: &PathBuf| {
                reached.contains(other) && reach.get(other).is_some_and(|back| back.contains(file))
            };
            let mut circle = Circle::new();
            for (member, needs) in ties.iter().filter(|(member, _)| is_in(member)) {
                let within = needs.iter().filter(|(other, _)| is_in(other));
                let within = within.map(|(other, names)| (other.clone(), names.clone()));
                circle.insert(member.clone(), within.collect());
            }
            seen.extend(reach.keys().filter(|other| is_in(other)).copied());
            circles.push(circle);
        }
        circles
    }

    /// Which file needs which other one, and for which names.
    fn ties(&self) -> Circle {
        let mut ties = Circle::new();
        for (id, module) in self.modules.iter().enumerate() {
            for path in &module.uses {
                let Target::Item(owner, name) = self.resolve(id, path, 0) else {
                    continue;
                };
                let owner = &self.modules[owner].file;
                if *owner != module.file {
                    let needs = ties.entry(module.file.clone()).or_default();
                    needs.entry(owner.clone()).or_default().insert(name);
                }
            }
        }
        ties
    }

    /// Follows a path in a module.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Target {
        let (mut at, mut rest) = match path.first().map(String::as_str) {
            Some("crate") => (0, &path[1..]),
            Some("self") => (from, &path[1..]),
            _ => (from, path),
        };
        while let [first, after @ ..] = rest
            && first == "super"
        {
            at = self.modules[at].parent;
            rest = after;
        }
        self.descend(at, rest, depth)
    }

    fn descend(&self, at: usize, path: &[String], depth: usize) -> Target {
        let [name, after @ ..] = path else {
            return Target::Module(at);
        };
        // `use tracing::{self, …}` imports a name by itself.
        if depth > 16 {
            return Target::Outside;
        }
        let module = &self.modules[at];
        let child = module.children.get(name);
        let import = module.imports.get(name);
        if let Some(import) = import.filter(|_| after.is_empty() || child.is_none()) {
            return match self.resolve(at, import, depth + 1) {
                Target::Module(id) => self.descend(id, after, depth + 1),
                found => found,
            };
        }
        if let Some(&child) = child {
            return self.descend(child, after, depth);
        }
        if module.items.contains(name) {
            return Target::Item(at, name.clone());
        }
        for glob in &module.globs {
            let Target::Module(id) = self.resolve(at, glob, depth + 1) else {
                continue;
            };
            if let found @ (Target::Module(_) | Target::Item(..)) =
                self.descend(id, path, depth + 1)
            {
                return found;
            }
        }
        Target::Outside
    }
}

/// Returns the files that a file needs, directly or through others.
fn reach<'a>(ties: &'a Circle, from: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in ties.get(file).into_iter().flatten().map(|(next, _)| next) {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

struct Reader<'a> {
    text_of: &'a dyn Fn(&Path) -> Option<String>,
    modules: Vec<Module>,
    sizes: BTreeMap<PathBuf, Size>,
}

impl Reader<'_> {
    /// Reads the module in a file, whose modules lie in `folder`.
    fn file(&mut self, file: &Path, folder: &Path, parent: usize) -> Result<usize> {
        let text = (self.text_of)(file).with_context(|| format!("no file {}", file.display()))?;
        let tree = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let mut code: Vec<bool> = text.lines().map(is_code).collect();
        let id = self.module(file, &tree.items, folder, parent, &mut code)?;
        self.sizes.entry(file.to_owned()).or_default().lines = count(&code);
        Ok(id)
    }

    fn module(
        &mut self,
        file: &Path,
        items: &[Item],
        folder: &Path,
        parent: usize,
        code: &mut [bool],
    ) -> Result<usize> {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            ..Module::default()
        });
        let mut code_of = Code {
            module: Module::default(),
            lines: code,
            functions: Vec::new(),
            modules: Vec::new(),
        };
        for item in items {
            code_of.visit_item(item);
            if let (attributes, Some(name)) = described(item)
                && !is_left_out(attributes)
            {
                code_of.module.items.insert(name.to_string());
            }
        }
        let Code {
            module,
            functions,
            modules,
            ..
        } = code_of;
        self.modules[id] = Module {
            file: file.to_owned(),
            parent,
            ..module
        };
        let size = self.sizes.entry(file.to_owned()).or_default();
        size.functions.extend(functions);
        for child in modules {
            let name = child.ident.to_string();
            let below = folder.join(&name);
            let child = match &child.content {
                Some((_, items)) => self.module(file, items, &below, id, code)?,
                None => self.file(&self.find(&below)?, &below, id)?,
            };
            self.modules[id].children.insert(name, child);
        }
        Ok(id)
    }

    fn find(&self, below: &Path) -> Result<PathBuf> {
        let own = below.with_extension("rs");
        let file = match (self.text_of)(&own) {
            Some(_) => own,
            None => below.join("mod.rs"),
        };
        ensure!(
            (self.text_of)(&file).is_some(),
            "no file for the module {}",
            below.display()
        );
        Ok(file)
    }
}

/// Collects the definitions, imports and paths from the items of one module, except its own modules.
struct Code<'a, 'ast> {
    module: Module,
    /// The lines of the file, whether they are code.
    lines: &'a mut [bool],
    functions: Vec<(String, usize)>,
    modules: Vec<&'ast ItemMod>,
}

impl Code<'_, '_> {
    fn function(&mut self, name: &Ident, start: usize, end: usize) {
        let lines = count(&self.lines[start - 1..end]);
        self.functions.push((name.to_string(), lines));
    }

    /// Adds a `use` whose path starts with `prefix`.
    fn import(&mut self, prefix: &[String], tree: &UseTree, is_private: bool) {
        let (path, name) = match tree {
            UseTree::Path(tree) => {
                let path = joined(prefix, &tree.ident);
                return self.import(&path, &tree.tree, is_private);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(prefix, tree, is_private);
                }
                return;
            }
            UseTree::Glob(_) => return self.module.globs.push(prefix.to_vec()),
            UseTree::Name(tree) if tree.ident == "self" => {
                (prefix.to_vec(), prefix.last().cloned().unwrap_or_default())
            }
            UseTree::Name(tree) => (joined(prefix, &tree.ident), tree.ident.to_string()),
            UseTree::Rename(tree) if tree.ident == "self" => {
                (prefix.to_vec(), tree.rename.to_string())
            }
            UseTree::Rename(tree) => (joined(prefix, &tree.ident), tree.rename.to_string()),
        };
        if is_private {
            self.module.uses.insert(path.clone());
        }
        self.module.imports.insert(name, path);
    }

    /// Adds the paths among the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.path(std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.path(path);
    }

    fn path(&mut self, path: Vec<String>) {
        // A single word among the tokens of a macro is anything.
        if path.len() > 1 {
            self.module.uses.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Code<'_, 'ast> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_left_out(described(item).0) {
            return visit::visit_item(self, item);
        }
        let span = item.span();
        self.lines[span.start().line - 1..span.end().line].fill(false);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.modules.push(item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            let is_private = matches!(item.vis, Visibility::Inherited);
            self.import(&[], &item.tree, is_private);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let (start, end) = (item.sig.span().start(), item.block.span().end());
        self.function(&item.sig.ident, start.line, end.line);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        let (start, end) = (item.sig.span().start(), item.block.span().end());
        self.function(&item.sig.ident, start.line, end.line);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        let span = item.span();
        self.function(&item.sig.ident, span.start().line, span.end().line);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let words = path.segments.iter().map(|word| word.ident.to_string());
            self.module.uses.insert(words.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

/// Returns the attributes of an item, and the name that it defines.
fn described(item: &Item) -> (&[Attribute], Option<&Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Impl(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// Returns whether an item is only compiled for tests or documentation.
fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<Ident>()
                .is_ok_and(|word| word == "test" || word == "doc")
    })
}

fn joined(prefix: &[String], word: &Ident) -> Vec<String> {
    let mut path = prefix.to_vec();
    path.push(word.to_string());
    path
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

fn count(lines: &[bool]) -> usize {
    lines.iter().filter(|is_code| **is_code).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(files: &[(&str, &str)]) -> (Crate, BTreeMap<PathBuf, Size>) {
        let text_of = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        read(Path::new(files[0].0), &text_of).unwrap()
    }

    /// The circles of a crate, each tie as `from>to:names`.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let circles = read_all(files).0.circles();
        let lines = circles.iter().map(|circle| {
            let ties = circle.iter().flat_map(|(from, needs)| {
                needs.iter().map(move |(to, names)| {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    format!("{}>{}:{}", from.display(), to.display(), names.join(","))
                })
            });
            ties.collect()
        });
        lines.collect()
    }

    #[test]
    fn stair_has_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B;"),
        ];
        assert!(circles(&files).is_empty());
    }

    #[test]
    fn circle_is_found_with_its_names() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::{b::B, c::C}; pub struct A(B, C);"),
            ("b.rs", "use super::a::A; pub struct B(Box<A>);"),
            ("c.rs", "pub struct C;"),
        ];
        assert_eq!(circles(&files), [["a.rs>b.rs:B", "b.rs>a.rs:A"]]);
    }

    #[test]
    fn circle_of_three_is_one() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::b; pub fn a() { b() }"),
            ("b.rs", "use crate::c::c; pub fn b() { c() }"),
            ("c.rs", "use crate::a::a; pub fn c() { a() }"),
        ];
        let ties = ["a.rs>b.rs:b", "b.rs>c.rs:c", "c.rs>a.rs:a"];
        assert_eq!(circles(&files), [ties]);
    }

    #[test]
    fn root_re_exports_lead_to_the_definition() {
        let files = [
            (
                "lib.rs",
                "mod a; mod b; mod c; pub use a::A; pub use b::*; pub use c::C;",
            ),
            ("a.rs", "use crate::B; pub struct A(B);"),
            (
                "b.rs",
                "use crate::{A as Other, C}; pub struct B(Box<Other>, C);",
            ),
            ("c.rs", "pub struct C;"),
        ];
        assert_eq!(circles(&files), [["a.rs>b.rs:B", "b.rs>a.rs:A"]]);
    }

    #[test]
    fn folder_and_its_files_are_told_apart() {
        let below =
            "use super::Config; use self::deep::Deep; pub struct Dial(Config, Deep); mod deep;";
        let files = [
            ("lib.rs", "mod engine;"),
            (
                "engine/mod.rs",
                "mod dial; use dial::Dial; pub struct Config; pub struct Engine(Dial);",
            ),
            ("engine/dial.rs", below),
            ("engine/dial/deep.rs", "pub struct Deep;"),
        ];
        let ties = [
            "engine/dial.rs>engine/mod.rs:Config",
            "engine/mod.rs>engine/dial.rs:Dial",
        ];
        assert_eq!(circles(&files), [ties]);
    }

    #[test]
    fn re_export_alone_is_not_a_need() {
        let files = [
            ("lib.rs", "mod engine;"),
            (
                "engine/mod.rs",
                "mod a; mod b; pub use a::A; pub const LIMIT: usize = 1;",
            ),
            (
                "engine/a.rs",
                "use crate::engine::LIMIT; pub struct A([u8; LIMIT]);",
            ),
            ("engine/b.rs", "use super::A; pub struct B(A);"),
        ];
        assert!(circles(&files).is_empty());
        let using = "mod a; mod b; pub use a::A; pub const LIMIT: usize = 1; pub fn f(_: A) {}";
        let files = [files[0], (files[1].0, using), files[2], files[3]];
        assert_eq!(circles(&files).len(), 1);
    }

    #[test]
    fn paths_in_code_and_macros_are_needs() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn a() { crate::b::b() }"),
            ("b.rs", "pub fn b() { println!(\"{:?}\", super::a::a()) }"),
        ];
        assert_eq!(circles(&files), [["a.rs>b.rs:b", "b.rs>a.rs:a"]]);
    }

    #[test]
    fn name_of_a_module_leads_to_what_is_used_of_it() {
        let files = [
            (
                "lib.rs",
                "mod a; mod b; mod c { pub mod d { pub use crate::a::a; } }",
            ),
            ("a.rs", "use crate::b::{self}; pub fn a() { b::b() }"),
            (
                "b.rs",
                "use crate::c; use tracing::{self}; pub fn b() { c::d::a(); tracing::event() }",
            ),
        ];
        assert_eq!(circles(&files), [["a.rs>b.rs:b", "b.rs>a.rs:a"]]);
    }

    #[test]
    fn tests_and_documentation_make_no_circle() {
        let b =
            "pub struct B; #[cfg(doc)] use crate::a::A; #[cfg(test)] mod tests { use crate::a::A; }
            #[cfg(test)] fn f(_: crate::a::A) {} #[cfg(test)] mod more;";
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use crate::b::B; /// See [`crate::b`].\npub struct A(B);",
            ),
            ("b.rs", b),
        ];
        assert!(circles(&files).is_empty());
    }

    #[test]
    fn lines_are_counted_without_blanks_comments_and_tests() {
        let text = "//! Header.\n\n/// Adds.\nfn add(\n    a: u8,\n) -> u8 {\n    // Why.\n\n    a + 1\n}\n\n\
            impl S {\n    fn f() {}\n}\n\n#[cfg(test)]\nmod tests {\n    fn long() {\n    }\n}\n";
        let (_, sizes) = read_all(&[("lib.rs", text)]);
        let size = &sizes[Path::new("lib.rs")];
        assert_eq!(size.lines, 8);
        assert_eq!(size.functions, [("add".to_owned(), 5), ("f".to_owned(), 1)]);
    }

    #[test]
    fn missing_module_is_named() {
        let text_of = |path: &Path| (path == Path::new("lib.rs")).then(|| "mod a;".to_owned());
        let error = read(Path::new("lib.rs"), &text_of).unwrap_err();
        assert_eq!(error.to_string(), "no file for the module a");
    }
}
