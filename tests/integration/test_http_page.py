"""The status page in a headless Chromium: at phone and desktop size, with load, in a storm, with PostgreSQL down.

PGWEIR_SHOTS=/a/folder keeps a screenshot of each for somebody to look at.
"""
import os

import pytest

import browser as browser_module
import secrets_seen as secrets
from postgres import Postgres
from web import new_web, patience
from wire import SLOW, query, startup, wait_until

TOKEN = "token-of-the-page-0123456789abcdef"
secrets.learn(TOKEN, "the token of HTTP")
SIZES = {"desktop": (1280, 900, False), "phone": (390, 844, True)}

pytestmark = [
    pytest.mark.skipif(not browser_module.program(), reason="there is no chromium (Debian's package chromium)"),
    pytest.mark.timeout(120 * SLOW),
]


@pytest.fixture(scope="module")
def browser():
    b = browser_module.Browser()
    yield b
    b.close()


@pytest.fixture(params=list(SIZES))
def open_page(request, browser):
    """A page of one of the sizes. Whatever happened on it, it had no complaint and was no wider than its screen."""
    pages = []

    def make(w, **kw):
        width, height, phone = SIZES[request.param]
        page = browser.page("http://127.0.0.1:%d/" % w.port, width, height, phone=phone, **kw)
        pages.append(page)
        return page

    yield make
    for page in pages:
        folder = os.environ.get("PGWEIR_SHOTS")
        if folder:
            page.shot(os.path.join(folder, "%s-%s.png" % (request.node.name.split("[")[0], request.param)), full=True)
        complaints, widths = page.complaints(), page.run("[document.documentElement.scrollWidth, innerWidth]")
        page.close()
        assert not [c for c in complaints if "401" not in c and "ERR_CONNECTION" not in c], complaints
        assert widths[0] <= SIZES[request.param][0] and widths[0] <= widths[1], "scrolls sideways"


def tile(page, name):
    """The figure on a tile, as text."""
    return page.run("[...document.querySelectorAll('#tiles div')].find(d => d.firstChild.textContent === %r).children[1].innerText" % name)


def rows(page, title):
    """Rows of the table under a heading, as lists of texts."""
    return page.run("[...document.querySelectorAll('section.card')].filter(s => !s.hidden && s.querySelector('h2').textContent === %r)"
                    ".flatMap(s => [...s.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.innerText)))" % title)


def test_load_is_shown(new_pooler, open_page):
    w = new_web(new_pooler, {"default_pool_size": 2, "session_features": "pin", "worker_threads": 2})
    clients = [w.pooler.connect() for _ in range(5)]
    page = open_page(w)
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    for c in clients:
        c.query("select 1")
    clients[0].query("select pg_advisory_lock(9)")
    clients[1].query("begin")
    clients[2].send(query("select 1"))
    wait_until(lambda: tile(page, "Waiting").startswith("1") and tile(page, "Pinned clients").strip() == "1", patience(20), "it shows who waits")
    assert tile(page, "Clients").split() == ["5", "of", "1,000"] and tile(page, "Servers at work").split()[0] in ("1", "2")
    assert [r[:2] for r in rows(page, "Pools")] == [["test", "app"]] and len(rows(page, "Queue")) == 1 and len(rows(page, "Holders")) == 2
    assert [r[:3] for r in rows(page, "Hosts")] == [[w.pooler.server.host, str(w.pooler.server.port), "up"]]
    assert rows(page, "Pins")[0][2] == "advisory" and rows(page, "Workers") and rows(page, "Events")
    wait_until(lambda: page.run("document.querySelectorAll('.plot svg path').length") >= 9, patience(10), "lines are drawn")
    labels = page.run("[...document.querySelectorAll('.plot svg')].map(s => s.getAttribute('aria-label'))")
    assert any(label.startswith("Clients that wait, the last five minutes. waiting: now 1, at most ") for label in labels), labels
    page.run("document.querySelector('details').open = true")
    page.wait("document.querySelectorAll('details[open] tbody tr').length >= 2")
    clients[1].query("commit")
    for c in clients:
        c.close()


def test_a_storm_is_shown_and_said_once(new_pooler, open_page):
    w = new_web(new_pooler, {"max_client_conn": 2000, "default_pool_size": 2})
    page = open_page(w)
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    page.wait("document.querySelector('#tiles').innerText.includes('…') === false")
    clients = []

    def storms():
        if len(clients) < 1900:
            crowd = [w.pooler.raw() for _ in range(100)]
            for c in crowd:
                c.send(startup({"user": "app", "database": "test"}))
            clients.extend(crowd)
        return page.text("#pill") == "storm"

    page.run("window.said = []; new MutationObserver(() => said.push(document.querySelector('#said').textContent))"
             ".observe(document.querySelector('#said'), {childList: true, characterData: true, subtree: true})")
    wait_until(storms, patience(60), "it is called a storm")
    assert "storm of logins" in page.text("#notice") and page.run("said") == ["A storm of logins has begun"]
    for c in clients:
        c.close()


def test_postgresql_down_is_shown(new_pooler, open_page):
    server = Postgres()
    try:
        w = new_web(new_pooler, {"http_unready_after": 0.5, "server_login_retry": 0.2, "query_wait_timeout": 100}, server=server)
        c = w.pooler.connect()
        c.query("select 1")
        page = open_page(w)
        page.wait("document.querySelector('#pill').textContent === 'ready'")
        server.stop()
        c.send(query("select 2"))
        page.wait("document.querySelector('#pill').textContent === 'not ready'", patience(30))
        assert "PostgreSQL has been away for" in page.text("#notice") and page.text("#said").startswith("Not ready")
        assert tile(page, "Waiting").startswith("1")
        server.start()
        page.wait("document.querySelector('#pill').textContent === 'ready'", patience(30))
        c.close()
    finally:
        server.destroy()


def test_the_token_is_asked_for_once_and_is_in_no_address(new_pooler, open_page):
    w = new_web(new_pooler, token=TOKEN)
    page = open_page(w)
    page.wait("!document.querySelector('#ask').hidden")
    assert page.run("document.activeElement.id") == "token" and page.run("document.querySelector('#all').hidden")
    for text in ("wrong", TOKEN):
        page.run("document.querySelector('#token').value = %r; document.querySelector('#ask').requestSubmit()" % text)
        if text == "wrong":
            page.wait("document.querySelector('#ask-why').textContent.startsWith('That is not the token')")
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    assert TOKEN not in page.run("location.href + document.documentElement.outerHTML + document.cookie + JSON.stringify(localStorage)")
    assert page.run("performance.getEntriesByType('resource').map(e => e.name).join()").find(TOKEN) < 0
    page.call("Page.reload")
    page.wait("document.querySelector('#pill') && document.querySelector('#pill').textContent === 'ready'")
    assert page.run("sessionStorage.getItem('pgweir token')") == TOKEN
    page.run("document.querySelector('#leave').click()")
    page.wait("document.querySelector('#ask') && !document.querySelector('#ask').hidden")
    assert page.run("sessionStorage.getItem('pgweir token')") is None


def test_pgweir_that_is_gone_is_said(new_pooler, open_page):
    w = new_web(new_pooler)
    page = open_page(w)
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    w.pooler.end()
    page.wait("document.querySelector('#pill').textContent === 'no answer'", patience(30))
    assert "doesn't answer" in page.text("#notice")
    w.pooler.start()
    page.wait("document.querySelector('#pill').textContent === 'ready'", patience(60))


def luminance(rgb):
    parts = [int(x) / 255 for x in rgb[rgb.index("(") + 1:-1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_has_contrast_and_every_part_a_name(new_pooler, open_page, dark):
    """WCAG 2.2: 1.4.3 contrast 4.5; controls, regions, tables and pictures have names."""
    w = new_web(new_pooler)
    w.pooler.connect().query("select 1")
    page = open_page(w, dark=dark)
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    page.wait("document.querySelectorAll('tbody tr').length > 1")
    seen = page.run("""[...document.querySelectorAll('body *')].filter(e => e.getClientRects().length && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .filter(e => !e.closest('svg, meter, script, .sr')).map(e => { let b = e, bg; do { bg = getComputedStyle(b).backgroundColor; b = b.parentElement; }
        while (bg === 'rgba(0, 0, 0, 0)' && b); return [e.tagName + ' ' + e.textContent.slice(0, 20), getComputedStyle(e).color, bg]; })""")
    assert len(seen) > 30
    for what, text, back in seen:
        a, b = sorted((luminance(text), luminance(back)))
        assert (b + 0.05) / (a + 0.05) >= 4.5, (what, text, back)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    for n in nodes:
        role = n.get("role", {}).get("value")
        if not n.get("ignored") and role in ("button", "textbox", "region", "table", "image", "img", "meter", "figure"):
            assert n.get("name", {}).get("value"), n
    assert page.run("document.querySelectorAll('[aria-live]').length") == 1
    assert page.run("[...document.querySelectorAll('th')].every(t => t.scope === 'col')")


def test_the_page_has_no_outside_resource_and_a_strict_policy(new_pooler, open_page):
    w = new_web(new_pooler)
    status, headers, body = w.request("/")
    policy = headers["content-security-policy"]
    assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert "src=" not in body.replace("http-equiv", "") and "@import" not in body and "url(" not in body and "innerHTML" not in body
    page = open_page(w)
    page.wait("document.querySelector('#pill').textContent === 'ready'")
    names = page.run("performance.getEntriesByType('resource').map(e => new URL(e.name).origin + new URL(e.name).pathname)")
    assert set(names) == {"http://127.0.0.1:%d/api/all.json" % w.port}
    page.run("const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s)")
    assert page.run("window.bad") is None
    page.browser.events.clear()  # the policy has complained, as it should
