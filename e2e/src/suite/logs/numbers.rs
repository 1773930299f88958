//! Whether numbered lines are all there, once and in order.

use anyhow::{Result, ensure};

/// Checks the lines that begin with `word`: each has the next number, from 1, and is whole. The last line may be on its way. Gives the last number.
pub(super) fn from_one(text: &str, word: &str) -> Result<u64> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut last = 0;
    for (at, line) in whole.lines().enumerate() {
        let Some((found, rest)) = line.split_once(' ') else {
            anyhow::bail!("line {} is torn: {}", at + 1, shortened(line));
        };
        if found != word {
            ensure!(
                ["out", "err", "half"].contains(&found),
                "line {} is torn: {}",
                at + 1,
                shortened(line)
            );
            continue;
        }
        let (number, filling) = rest.split_once(' ').unwrap_or((rest, ""));
        ensure!(
            number.parse() == Ok(last + 1),
            "{word} {last} is followed by: {}",
            shortened(line)
        );
        last += 1;
        ensure!(
            word != "half" || filling == expected(last),
            "{word} {last} is not whole, it has {} bytes: {}",
            line.len(),
            shortened(line)
        );
    }
    Ok(last)
}

/// What `workload lines halves` writes after a number.
fn expected(number: u64) -> String {
    "x".repeat(if number.is_multiple_of(40) { 20_000 } else { 20 }) + "."
}

fn shortened(line: &str) -> String {
    line.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::from_one;

    #[test]
    fn what_is_missing_doubled_or_torn_is_found() {
        assert_eq!(from_one("out 1\nerr 1\nout 2\nou", "out").unwrap(), 2);
        for wrong in [
            "out 2\n",
            "out 1\nout 1\n",
            "out 1\nout 3\n",
            "out 1\nut 2\n",
            "out 1out 2\n",
        ] {
            assert!(from_one(wrong, "out").is_err(), "{wrong}");
        }
        let half = format!("half 1 {}.\n", "x".repeat(20));
        assert_eq!(from_one(&half, "half").unwrap(), 1);
        assert!(from_one("half 1 xx.\n", "half").is_err());
    }
}
