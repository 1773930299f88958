//! Groups of bars on a logarithmic scale, as SVG.

use std::fmt::Write as _;

/// Bars that belong together; `None` leaves a gap.
#[derive(Debug, Clone)]
pub struct Group {
    /// Below the bars.
    pub label: String,
    /// One for each series.
    pub values: Vec<Option<f64>>,
}

const BAR: f64 = 14.0;
const SPACE: f64 = 22.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 150.0;
/// Told apart by those who see no colours, too: from dark to light.
const COLOURS: [&str; 4] = ["#1b4f72", "#2e86c1", "#aab7b8", "#f5b041"];

/// The picture.
pub fn bars(title: &str, series: &[&str], groups: &[Group]) -> String {
    let values = || {
        groups
            .iter()
            .flat_map(|group| group.values.iter().flatten().copied())
    };
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(1.0, f64::max);
    // Whole powers of ten.
    let low = if least.is_finite() {
        least.max(0.001).log10().floor()
    } else {
        0.0
    };
    let high = most.log10().ceil().max(low + 1.0);
    let height = |value: f64| (value.max(0.001).log10() - low) / (high - low) * HEIGHT;
    let group_width = count(series.len()) * BAR + SPACE;
    let width = LEFT + count(groups.len()) * group_width + 40.0;
    let width = width.max(LEFT + 130.0 * count(series.len()) + 40.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" \
         font-size=\"14\">{}</text>\n",
        TOP + HEIGHT + BOTTOM,
        escaped(title)
    );
    for (at, name) in series.iter().enumerate() {
        let x = LEFT + 130.0 * count(at);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.0}\" y=\"41\">{}</text>",
            COLOURS[at % COLOURS.len()],
            x + 14.0,
            escaped(name)
        );
    }
    let mut power = low;
    while power <= high {
        let y = TOP + HEIGHT - (power - low) / (high - low) * HEIGHT;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            width - 20.0,
            LEFT - 6.0,
            y + 4.0,
            10_f64.powf(power)
        );
        power += 1.0;
    }
    for (number, group) in groups.iter().enumerate() {
        let left = LEFT + SPACE / 2.0 + count(number) * group_width;
        for (at, value) in group.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let tall = height(*value).max(1.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{}\"><title>{} {value:.0}</title></rect>",
                left + count(at) * BAR,
                TOP + HEIGHT - tall,
                BAR - 2.0,
                COLOURS[at % COLOURS.len()],
                escaped(series.get(at).copied().unwrap_or_default()),
            );
        }
        let (x, y) = (left + (group_width - SPACE) / 2.0, TOP + HEIGHT + 12.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-40 {x:.1} {y:.1})\">{}</text>",
            escaped(&group.label)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen")]
fn count(number: usize) -> f64 {
    number as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taller_values_have_taller_bars() {
        let group = |label: &str, values: &[f64]| Group {
            label: label.to_owned(),
            values: values.iter().map(|&value| Some(value)).collect(),
        };
        let svg = bars(
            "a < b",
            &["x", "y"],
            &[group("one", &[10.0, 100.0]), group("two", &[1000.0, 10.0])],
        );
        let heights: Vec<&str> = svg
            .lines()
            .filter(|line| line.contains("<title>"))
            .filter_map(|line| line.split("height=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(heights, ["1.0", "130.0", "260.0", "1.0"]);
        assert!(svg.contains("a &lt; b") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(bars("empty", &[], &[]).contains("</svg>"));
    }
}
