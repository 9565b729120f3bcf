//! `add_index`: built concurrently, so that writers go on.

use super::fragment::Fragment;
use super::{Context, indexes};
use crate::plan::NewIndex;
use crate::run::What;

pub(super) fn fragment(context: &Context<'_>, change: &NewIndex, tail: &str) -> Fragment {
    let name = change.name.as_str();
    let what = (What::Build(name.to_owned()), format!("build index {name}"));
    Fragment { steps: vec![indexes::build(context, name, change.unique, tail, vec![], what)], ..Fragment::default() }
}
