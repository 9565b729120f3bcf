use proptest::prelude::*;

use super::*;

/// One edit of a text: a place (as a share of its length), how much goes, what comes instead.
fn edit() -> impl Strategy<Value = (f64, usize, String)> {
    let insert = prop_oneof![
        "[ -~\\n\\t]{0,4}",
        "\\PC{0,3}",
        proptest::sample::select(vec![
            "null",
            "~",
            "{",
            "}",
            "[",
            "]",
            ": ",
            "- ",
            "&a ",
            "*a",
            "!t ",
            "0",
            "-1",
            "1e9",
            "\"",
            "'",
            "|\n",
            ">-\n",
            "\n",
            "\r\n",
            "changes:",
            "#> x",
            "99999999999999999999",
            "\u{feff}",
            "\0",
            "é",
            "?",
            "---\n",
            "...\n",
            "%Y\n",
        ])
        .prop_map(str::to_owned),
    ];
    (0.0..1.0, 0usize..12, insert)
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Parses `text` and looks at whatever comes out.
fn survives(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = parse("plan.yaml", text) else { return Ok(()) };
    prop_assert!(!errors.problems().is_empty());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for problem in errors.problems() {
        prop_assert!(problem.span.start <= problem.span.end && problem.span.end <= text.len(), "{problem:?}");
        prop_assert!(
            text.is_char_boundary(problem.span.start) && text.is_char_boundary(problem.span.end),
            "{problem:?}"
        );
        prop_assert!(problem.help.is_some() || problem.code == Code::Syntax || problem.code == Code::WrongType);
    }
    let rendered = errors.render(false);
    prop_assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()));
    serde_json::to_string(&errors).unwrap();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        survives(&text)?;
    }

    #[test]
    fn no_yaml_like_text_makes_the_parser_panic(text in "([ a-z0-9:,{}\\[\\]&*!|>'\"%@`#?\\-\\n\\t]|: |\\n  |- ){0,80}") {
        survives(&text)?;
    }

    #[test]
    fn no_change_to_a_valid_plan_makes_the_parser_panic(edits in proptest::collection::vec(edit(), 1..6)) {
        let mut text = FULL.to_owned();
        for (place, gone, insert) in edits {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short text")]
            let at = (text.len() as f64 * place) as usize;
            let start = boundary(&text, at);
            let end = boundary(&text, start + gone).max(start);
            text.replace_range(start..end, &insert);
        }
        survives(&text)?;
    }

    #[test]
    fn a_valid_plan_survives_json(workers in 1u16..64, grace in 0u64..100_000, name in "[a-z0-9][a-z0-9_-]{0,20}") {
        let text = format!(
            "version: 1\nname: {name:?}\ntable: t\nchanges: [{{ rename_column: {{ from: a, to: b }} }}]\n\
             backfill: {{ workers: {workers} }}\ncontract: {{ grace: {grace}s }}\n"
        );
        let plan = good(&text);
        let json = crate::run::write(&plan).unwrap();
        prop_assert_eq!(crate::run::read::<Plan>(&json).unwrap(), plan);
    }
}
