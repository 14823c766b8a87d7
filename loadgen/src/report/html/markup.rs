//! Markup into which nothing can be slipped: what is not a literal of this program is escaped.
//!
//! Invariants: markup itself is `&'static str`; whatever a run brought along goes through [`Markup::text`] or
//! [`Markup::attr`].

/// A page that grows.
#[derive(Default)]
pub(super) struct Markup {
    out: String,
}

impl Markup {
    /// Markup of this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Text from anywhere.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                '\n' | '\t' => self.out.push(' '),
                hidden if is_hidden(hidden) => self.out.push('\u{fffd}'),
                plain => self.out.push(plain),
            }
        }
        self
    }

    /// An attribute of the tag that is open, with a blank in front.
    pub(super) fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// Letters that no reader sees and that change how others look.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_text() {
        let mut markup = Markup::default();
        markup.raw("<p").attr("title", "\" onclick='x()'").raw(">").text("</p><script>\u{202e}&\0\n").raw("</p>");
        assert_eq!(
            markup.finish(),
            "<p title=\"&quot; onclick=&#39;x()&#39;\">&lt;/p&gt;&lt;script&gt;\u{fffd}&amp;\u{fffd} </p>"
        );
    }
}
