//! Drawings of numbers, as SVG inside the page. They stretch to the page's width; whatever is to be read stands beside them as text.

use std::fmt::Write as _;

use maud::{Markup, html};

/// The width and height of a drawing in its own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// A stretch of a bar, as shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Returns a bar with some stretches filled; `what` says it in words. A short one is still seen.
pub(super) fn bar(what: &str, class: &str, stretches: &[Stretch]) -> Markup {
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(what) {
            rect.ground x="0" y="0" width="1000" height="10" {}
            @for Stretch { from, to } in stretches {
                @let x = (from.clamp(0.0, 1.0) * WIDTH).min(WIDTH - 4.0);
                rect class=(class) x=(format!("{x:.1}")) y="0" height="10"
                    width=(format!("{:.1}", ((to.clamp(0.0, 1.0) * WIDTH) - x).max(4.0))) {}
            }
        }
    }
}

/// A line of a chart: points from left to right; a gap where there is no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line<'a> {
    /// What it shows.
    pub(super) name: &'a str,
    /// Each line has its own pattern, which its number chooses.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// The ends of a chart's axes, as text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axes {
    pub(super) left: String,
    pub(super) right: String,
    pub(super) top: String,
    pub(super) bottom: String,
}

/// Returns a chart of lines from zero to the largest value of any.
pub(super) fn lines(caption: &str, lines: &[Line<'_>], axes: &Axes) -> Markup {
    let all = || lines.iter().flat_map(|line| &line.points);
    let right = all().map(|(x, _)| *x).fold(0.0, f64::max);
    let top = all().filter_map(|(_, y)| *y).fold(0.0, f64::max);
    html! {
        figure {
            figcaption { (caption) }
            @if lines.len() > 1 {
                p.legend {
                    @for (number, line) in lines.iter().enumerate() {
                        span {
                            svg.key viewBox="0 0 40 10" role="presentation" {
                                path class=(format!("line line{number}")) d="M1 5L39 5" {}
                            }
                            " " (line.name)
                        }
                    }
                }
            }
            div.chart {
                span.top { (axes.top) }
                span.bottom { (axes.bottom) }
                svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label=(caption) {
                    path.grid d="M0 0H1000M0 100H1000M0 200H1000" {}
                    @for (number, line) in lines.iter().enumerate() {
                        path class=(format!("line line{number}")) d=(path(&line.points, right, top)) {}
                    }
                }
                span.left { (axes.left) }
                span.right { (axes.right) }
            }
        }
    }
}

/// Returns a line as SVG draws it.
fn path(points: &[(f64, Option<f64>)], right: f64, top: f64) -> String {
    let share = |value: f64, of: f64| if of > 0.0 { value / of } else { 0.0 };
    let mut path = String::new();
    let mut pen_down = false;
    for (x, y) in points {
        let Some(y) = y else {
            pen_down = false;
            continue;
        };
        let (x, y) = (WIDTH * share(*x, right), HEIGHT * (1.0 - share(*y, top)));
        // A point of its own is a dot.
        let _ = if pen_down { write!(path, "L{x:.0} {y:.0}") } else { write!(path, "M{x:.0} {y:.0}h.1") };
        pen_down = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_gaps_and_fits_its_frame() {
        let points = [(0.0, Some(0.0)), (5.0, Some(10.0)), (6.0, None), (10.0, Some(5.0))];
        assert_eq!(path(&points, 10.0, 10.0), "M0 200h.1L500 0M1000 100h.1");
        assert_eq!(path(&[(0.0, Some(0.0))], 0.0, 0.0), "M0 200h.1");
    }

    #[test]
    fn a_moment_on_a_bar_of_weeks_is_seen() {
        let bar = bar("x", "done", &[Stretch { from: 1.0, to: 1.0 }]).into_string();
        assert!(bar.contains(r#"x="996.0" y="0" height="10" width="4.0""#), "{bar}");
    }
}
