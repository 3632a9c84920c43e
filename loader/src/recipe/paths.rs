//! Which keys of a recipe name files and URLs: where relative ones start, and what is left of them in its identity.

use super::{Operator, Policy, Recipe};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The options of a policy that name a dataset or a file.
const PATH_OPTIONS: [&str; 3] = ["trusted", "reference", "values"];

impl Recipe {
    /// Lets relative paths start at `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        for dataset in self.dataset.iter_mut().chain(self.domain.iter_mut().map(|domain| &mut domain.dataset)) {
            dataset.url = resolve_url(folder, &dataset.url);
            if let Some(manifest) = &mut dataset.manifest {
                *manifest = resolve_path(folder, manifest);
            }
        }
        if let Some(cache) = self.stream.cache.as_mut().filter(|cache| *cache != "off") {
            *cache = resolve_path(folder, cache);
        }
        for operator in &mut self.clean {
            for (op, option, resolve) in OPERATORS_PATHS {
                if operator.op == *op {
                    let named = operator.options.get_mut(*option);
                    let (one, many) = match named {
                        Some(Value::Array(many)) => (None, Some(many)),
                        named => (named, None),
                    };
                    for path in one.into_iter().chain(many.into_iter().flatten()) {
                        if let Value::String(path) = path {
                            *path = resolve(folder, path);
                        }
                    }
                }
            }
        }
        for option in PATH_OPTIONS {
            if let Some(Value::String(path)) = self.policy.options.get_mut(option) {
                *path = if option == "trusted" { resolve_url(folder, path) } else { resolve_path(folder, path) };
            }
        }
    }
}

impl Operator {
    /// Its options, with true where a path or URL is given.
    pub(super) fn without_paths(&self) -> Table {
        let mut options = self.options.clone();
        for (_, option, _) in OPERATORS_PATHS.iter().filter(|(op, _, _)| *op == self.op) {
            match options.get_mut(*option) {
                Some(path @ Value::String(_)) => *path = Value::Boolean(true),
                Some(Value::Array(paths)) => paths.iter_mut().for_each(|path| *path = Value::Boolean(true)),
                _ => {}
            }
        }
        options
    }
}

impl Policy {
    /// Its options, with true where a path or URL is given.
    pub(super) fn without_paths(&self) -> Table {
        let mut options = self.options.clone();
        for option in PATH_OPTIONS {
            if let Some(path @ Value::String(_)) = options.get_mut(option) {
                *path = Value::Boolean(true);
            }
        }
        options
    }
}

/// How a path becomes one that starts at a folder.
type Resolve = fn(&Path, &str) -> String;

/// What operators name beside the data, by operator and option: a path or URL, or several.
const OPERATORS_PATHS: &[(&str, &str, Resolve)] = &[
    ("decontaminate", "sets", resolve_url),
    ("dsir", "target", resolve_url),
    ("quality", "good", resolve_url),
    ("quality", "bad", resolve_url),
    ("quality", "model", resolve_path),
    ("quality", "save", resolve_path),
];

/// Whether `path` is a local one that does not say where it starts.
fn is_relative(path: &str) -> bool {
    !path.contains("://") && Path::new(path).is_relative()
}

fn resolve_path(folder: &Path, path: &str) -> String {
    if is_relative(path) { join(folder.to_path_buf(), path) } else { path.to_owned() }
}

/// As [`resolve_path`], for a glob: what the folder's own name holds of a glob's characters is meant literally.
fn resolve_url(folder: &Path, url: &str) -> String {
    if !is_relative(url) {
        return url.to_owned();
    }
    let folder = folder.to_string_lossy();
    join(
        PathBuf::from(if folder.contains(['*', '?', '[']) { glob::Pattern::escape(&folder) } else { folder.into() }),
        url,
    )
}

fn join(folder: PathBuf, path: &str) -> String {
    // "./data" is the folder's "data": the dot would only make messages longer.
    folder.join(path.trim_start_matches("./")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use crate::Recipe;
    use std::fs;

    #[test]
    fn a_file_is_named_in_messages_and_its_relative_paths_start_at_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("arable.toml");
        let text = "[dataset]\nurl = './data/*.parquet'\nmanifest = 'm.json'\n[policy]\nname = 'p'\ntrusted = 't.csv'\nreference = '/r'";
        fs::write(&file, text).unwrap();
        let recipe = Recipe::from_toml_file(&file).unwrap();
        let here = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let dataset = recipe.dataset.unwrap();
        assert_eq!(dataset.url, here("data/*.parquet"));
        assert_eq!(dataset.manifest, Some(here("m.json")));
        assert_eq!(recipe.policy.options["trusted"].as_str(), Some(here("t.csv").as_str()));
        assert_eq!(recipe.policy.options["reference"].as_str(), Some("/r"));

        for url in ["s3://bucket/x.parquet", "/data/x.parquet"] {
            fs::write(&file, format!("[dataset]\nurl = '{url}'")).unwrap();
            assert_eq!(Recipe::from_toml_file(&file).unwrap().dataset.unwrap().url, url);
        }

        fs::write(&file, "seeed = 1").unwrap();
        let expected = format!("{}: unknown key `seeed`; did you mean `seed`?", file.display());
        assert_eq!(Recipe::from_toml_file(&file).unwrap_err().to_string(), expected);
        fs::write(&file, "#".repeat((1 << 20) + 1)).unwrap();
        assert!(Recipe::from_toml_file(&file).unwrap_err().is_usage());
        assert!(Recipe::from_toml_file(here("no.toml")).unwrap_err().to_string().starts_with("cannot read `"));
    }

    #[test]
    fn a_folder_whose_name_looks_like_a_glob_is_meant_literally() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("run[1]");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("a.csv"), "").unwrap();
        fs::write(inner.join("arable.toml"), "[dataset]\nurl = '*.csv'").unwrap();
        let url = Recipe::from_toml_file(inner.join("arable.toml")).unwrap().dataset.unwrap().url;
        let found: Vec<_> = glob::glob(&url).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [inner.join("a.csv")]);
    }
}
