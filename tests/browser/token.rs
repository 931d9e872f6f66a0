//! A server with a token: the page asks for it, says when it is wrong, and keeps it.

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::driver::ENTER;
use crate::page::Page;
use crate::served::Served;
use crate::trial::root;

const TOKEN: &str = "correct-horse-battery-staple-0123456789";

pub fn trials() -> Vec<Trial> {
    vec![root("a_token_is_asked_for_and_kept_for_the_tab", || {
        Page::new(Served::with_token(TOKEN)?)?.try_it("token", token)
    })]
}

fn token(page: &mut Page) -> anyhow::Result<()> {
    let browser = &page.browser;
    let asks = "document.getElementById('token').open";
    browser.wait("the form", asks)?;
    ensure!(browser.text("#host")?.is_empty(), "it shows data already");
    browser.keys("wrong-token-wrong-token-wrong-token")?;
    browser.keys(ENTER)?;
    let refused = "document.getElementById('token').open
        && document.getElementById('token-wrong').textContent";
    let words = browser.wait("that it is wrong", refused)?;
    ensure!(words == "That token was not accepted.", "{words}");
    browser.click("#token-input")?;
    browser.keys(TOKEN)?;
    browser.keys(ENTER)?;
    page.wait_live()?;
    ensure!(browser.script(&format!("return {asks};"))? == false);
    // Only for this tab: nothing that outlives it has the token.
    let kept = browser.script("return JSON.stringify(localStorage) + document.cookie;")?;
    ensure!(!kept.to_string().contains(TOKEN), "kept for ever: {kept}");
    browser.reload()?;
    page.wait_live()?;
    page.check_quiet(&["status of 401", "status of 503"])
}
