//! The page as text and as HTML.

use super::{Finding, Page, Verdict};

const PARTS: [(Verdict, &str); 5] = [
    (Verdict::Isolated, "What isolates it"),
    (Verdict::Open, "What does not"),
    (Verdict::Power, "What it may do that an ordinary process may not"),
    (Verdict::Near, "Limits that it is near"),
    (Verdict::Unlimited, "What has no limit"),
];

/// The parts that have findings.
fn parts(page: &Page) -> impl Iterator<Item = (&'static str, Vec<&Finding>)> {
    PARTS.into_iter().filter_map(|(verdict, title)| {
        let findings: Vec<_> = page.findings.iter().filter(|finding| finding.verdict == verdict).collect();
        (!findings.is_empty()).then_some((title, findings))
    })
}

fn title(page: &Page) -> String {
    let container = page.container.as_ref().map_or_else(String::new, |name| format!(" (container {name})"));
    format!("{}{container} {}", page.pid, page.command)
}

/// As text; the flag that would change a thing stands below it.
pub fn text(page: &Page) -> String {
    let mut text = format!("{}\n", title(page));
    for (heading, findings) in parts(page) {
        text.push_str(&format!("\n{heading}\n"));
        for finding in findings {
            text.push_str(&format!("  {}\n", finding.what));
            if let Some(flag) = &finding.flag {
                text.push_str(&format!("      changed by: {flag}\n"));
            }
        }
    }
    text
}

/// As an HTML document that needs nothing else.
pub fn html(page: &Page) -> String {
    let title = escape(&title(page));
    let mut body = format!("<h1>{title}</h1>\n");
    for (heading, findings) in parts(page) {
        body.push_str(&format!("<h2>{heading}</h2>\n<table>\n"));
        for finding in findings {
            let flag = finding
                .flag
                .as_deref()
                .map_or_else(String::new, |flag| format!("<code>{}</code>", escape(flag)));
            body.push_str(&format!("<tr><td>{}</td><td>{flag}</td></tr>\n", escape(&finding.what)));
        }
        body.push_str("</table>\n");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font-family:sans-serif;max-width:60em;margin:2em auto}}\
         td{{padding:.2em 1em .2em 0;vertical-align:top}}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

/// Command lines come from strangers.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let finding =
            |verdict, what: &str| Finding { verdict, what: what.into(), flag: Some("--x <y>".into()) };
        Page {
            pid: 7,
            container: Some("web".into()),
            command: "<script>".into(),
            findings: vec![finding(Verdict::Open, "a"), finding(Verdict::Isolated, "b")],
        }
    }

    #[test]
    fn text_has_parts_in_order() {
        let expected = "7 (container web) <script>\n\nWhat isolates it\n  b\n      changed by: --x <y>\n\n\
                        What does not\n  a\n      changed by: --x <y>\n";
        assert_eq!(text(&page()), expected);
    }

    #[test]
    fn html_is_escaped() {
        let html = html(&page());
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
        assert!(html.contains("<code>--x &lt;y&gt;</code>"));
    }
}
