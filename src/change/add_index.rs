//! `add_index`: built concurrently, so that writers go on.

use super::fragment::Fragment;
use super::{Context, indexes};
use crate::plan::NewIndex;
use crate::run::{AddedIndex, What};

pub(super) fn fragment(context: &Context<'_>, position: usize, change: &NewIndex, facts: &AddedIndex) -> Fragment {
    let name = change.name.as_str();
    let what = (What::Build(name.to_owned()), format!("build index {name}"));
    let own = indexes::build(context, name, change.unique, &facts.tail, vec![], what);
    let mirror = facts.mirror.iter().map(|tail| {
        let mirror = context.tag.mirror_of_new(position);
        indexes::mirror_of(context, (name, &mirror), (tail, change.unique), vec![])
    });
    let steps: Vec<_> = std::iter::once(own).chain(mirror).collect();
    Fragment { dropped: indexes::mirrors(&steps), steps, ..Fragment::default() }
}
