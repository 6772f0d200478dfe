"""Files for users: alert rules, dashboard and manifests name only what exists, and are accepted by the tools that read them."""
import json
import os
import re
import shutil
import subprocess

import pytest

from pooler import ROOT, binary, is_pgbouncer
from postgres import unprivileged
from web import new_web

yaml = pytest.importorskip("yaml", reason="there is no python3-yaml")

ETC = os.path.join(ROOT, "etc")
ALERTS, DASHBOARD = os.path.join(ETC, "prometheus/pgweir-alerts.yml"), os.path.join(ETC, "grafana/pgweir.json")
KUBERNETES = os.path.join(ETC, "kubernetes")
OF_PROMETHEUS = {"instance", "job"}  # labels that it adds itself
WORD = re.compile(r'\b(?:pgweir|process)_[a-z_]+\b')
SELECTOR = re.compile(r'\b((?:pgweir|process)_[a-z_]+)\{([^}]*)\}')
GROUPING = re.compile(r'\b(?:by|on) \(([a-z_, ]+)\)')


def read(path):
    with open(path) as f:
        return f.read()


def alerts():
    return [rule for group in yaml.safe_load(read(ALERTS))["groups"] for rule in group["rules"]]


def panels():
    return [p for p in json.loads(read(DASHBOARD))["panels"] if p["type"] != "row"]


def dashboard_queries():
    d = json.loads(read(DASHBOARD))
    return ([t["expr"] for p in panels() for t in p["targets"]] + [a["expr"] for a in d["annotations"]["list"]])


def plain(expr):
    """Without the dashboard's variables."""
    return expr.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$database", ".*")


def documents(name):
    return [d for d in yaml.safe_load_all(read(os.path.join(KUBERNETES, name))) if d]


def document(name, kind):
    return next(d for d in documents(name) if d["kind"] == kind)


@pytest.fixture
def metrics(new_pooler):
    """A scrape in which most families have samples."""
    w = new_web(new_pooler, {"max_db_connections": 5, "max_db_client_connections": 500})
    c = w.pooler.connect()
    c.query("select 1")
    m = w.metrics()
    c.close()
    return m


def check_expression(m, expr):
    suffixes = {"counter": ["_total"], "gauge": [""], "info": ["_info"], "histogram": ["_bucket", "_count", "_sum"]}
    names = {family + s for family, kind in m.families.items() for s in suffixes[kind]}
    used = set(WORD.findall(re.sub(r'"[^"]*"', '""', expr)))
    labels = {n: {label for name, have in m.samples if name == n for label, _ in have} for n in names}
    assert used <= names, "%s: no metric %s" % (expr, used - names)
    assert used or "up{" in expr, expr
    for name, inside in SELECTOR.findall(expr):
        wanted = set(re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)', re.sub(r'"[^"]*"', '""', inside)))
        assert wanted - OF_PROMETHEUS <= labels[name], "%s: %s has no label %s" % (expr, name, wanted - labels[name])
        for label, value in re.findall(r'([a-z_]+)=~?"([^"$.]*)"', inside):
            have = {dict(la).get(label) for n, la in m.samples if n == name}
            assert set(value.split("|")) <= have, "%s: %s=%s isn't among %s" % (expr, label, value, have)
    for group in GROUPING.findall(expr):
        have = set().union(*(labels[n] for n in used)) | OF_PROMETHEUS
        assert set(re.split(r",\s*", group)) <= have, "%s: by %s" % (expr, group)


def test_alerts_and_dashboard_use_metrics_that_exist(metrics):
    for rule in alerts():
        check_expression(metrics, rule["expr"])
    for expr in dashboard_queries():
        check_expression(metrics, plain(expr))


def test_the_check_finds_what_does_not_exist(metrics):
    for expr in ("pgweir_nothing > 1", "pgweir_ready_total", 'pgweir_pool_clients{status="x"}', 'pgweir_pool_clients{state="x"}',
                 "sum by (nothing) (pgweir_ready)", "1 > 0", "rate(pgweir_pool_queries[5m])"):
        with pytest.raises(AssertionError):
            check_expression(metrics, expr)


def test_each_alert_says_how_bad_and_what():
    names = [r["alert"] for r in alerts()]
    assert len(set(names)) == len(names) >= 10
    for rule in alerts():
        assert rule["alert"].startswith("Pgweir") and rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]


def test_promtool_takes_all_expressions(tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (Debian's package prometheus)")
    rules = [{"record": "test:%d" % i, "expr": plain(e)} for i, e in enumerate(dashboard_queries())]
    extra = tmp_path / "dashboard.yml"
    extra.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", ALERTS, str(extra)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr


def test_alerts_fire_when_they_should(tmp_path):
    """promtool plays a queue that is long, and one that isn't."""
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (Debian's package prometheus)")
    series = 'pgweir_pool_oldest_wait_seconds{instance="a",database="shop",user="app"}'
    test = {"rule_files": [ALERTS], "evaluation_interval": "15s", "tests": [{
        "interval": "15s",
        "input_series": [{"series": series, "values": "0 0 0 6 7 8 9 10 0 0 0"},
                         {"series": 'pgweir_ready{instance="a"}', "values": "1x10"}, {"series": 'pgweir_draining{instance="a"}', "values": "0x10"}],
        "alert_rule_test": [
            {"eval_time": "45s", "alertname": "PgweirClientsWaitLong", "exp_alerts": []},
            {"eval_time": "105s", "alertname": "PgweirClientsWaitLong", "exp_alerts": [{
                "exp_labels": {"severity": "warning", "instance": "a", "database": "shop", "user": "app"},
                "exp_annotations": {"summary": "Clients of shop (app) wait for 10s", "description":
                                    "All servers of the pool are in use. SHOW HOLDERS says by whom, SHOW QUEUE who waits."}}]},
            {"eval_time": "135s", "alertname": "PgweirClientsWaitLong", "exp_alerts": []},
            {"eval_time": "135s", "alertname": "PgweirNotReady", "exp_alerts": []},
        ]}]}
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    everything = json.loads(read(DASHBOARD))["panels"]
    assert len({p["id"] for p in everything}) == len(everything)
    taken = set()
    for p in everything:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & taken and g["x"] + g["w"] <= 24, p["title"]
        taken |= cells


# ---- Kubernetes ----------------------------------------------------------------------------------------------------

def test_the_manifests_belong_together(metrics):
    deployment = document("pgweir.yaml", "Deployment")
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    labels = pod["metadata"]["labels"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"postgresql": 6432, "http": 9187}
    for d in documents("pgweir.yaml"):
        selector = d.get("spec", {}).get("selector")
        if selector:
            assert selector.get("matchLabels", selector) == labels, d["kind"]
        if d["kind"] == "Service":
            assert all(p["targetPort"] in ports for p in d["spec"]["ports"])
    assert document("podmonitor.yaml", "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] in ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] in ({"path": "/healthz", "port": "http"}, {"path": "/readyz", "port": "http"})
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz" and container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    hpa = document("pgweir.yaml", "HorizontalPodAutoscaler")["spec"]
    assert hpa["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    for metric in hpa["metrics"]:
        if metric["type"] == "Pods":
            check_expression(metrics, metric["pods"]["metric"]["name"])
    ini = document("pgweir.yaml", "ConfigMap")["data"]["pgweir.ini"]
    drain = int(re.search(r"drain_timeout = (\d+)", ini)[1])
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert drain + int(container["lifecycle"]["preStop"]["exec"]["command"][1]) < grace
    uid = pod["spec"]["securityContext"]["runAsUser"]
    assert "USER %d:%d" % (uid, uid) in read(os.path.join(ROOT, "Dockerfile"))


def test_the_config_map_is_accepted(new_pooler):
    if is_pgbouncer():
        pytest.skip("it has no HTTP")
    ini = document("pgweir.yaml", "ConfigMap")["data"]["pgweir.ini"]
    p = new_pooler(files={"http-token": "a-token"})
    ini = ini.replace("/run/secrets/pgweir", p.dir)
    path = p.dir + "/map.ini"
    with open(path, "w") as f:
        f.write(ini)
    done = subprocess.run([p.program, "-t", path], capture_output=True, text=True, check=False, **unprivileged())
    assert done.returncode == 0, done.stderr
    for without, why in ((r"http_token_file.*", "set http_token or http_token_file"), (r"(?<=http-)token", "could not read http_token_file")):
        with open(path, "w") as f:
            f.write(re.sub(without, "", ini))
        done = subprocess.run([p.program, "-t", path], capture_output=True, text=True, check=False, **unprivileged())
        assert done.returncode == 1 and why in done.stderr, done.stderr


def test_the_image_asks_itself_whether_it_is_well(new_pooler):
    health = os.path.join(ETC, "docker/pgweir-health")
    assert os.access(health, os.X_OK) and "etc/docker/pgweir-health" in read(os.path.join(ROOT, "Dockerfile"))
    p = new_pooler()

    def status():
        return subprocess.run([health], env=dict(os.environ, PGWEIR_PORT=str(p.port)), stderr=subprocess.DEVNULL, check=False).returncode

    assert status() == 0
    p.end()
    assert status() != 0


def test_the_image_has_every_library():
    """What the program needs directly is among the packages that the last stage installs."""
    if not shutil.which("dpkg") or not shutil.which("readelf"):
        pytest.skip("not on a Debian with binutils")
    program = shutil.which(binary()) or binary()
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout)
    stage = read(os.path.join(ROOT, "Dockerfile")).split("FROM ")[-1]
    for library in needed:
        if re.match(r"libc\.so|libm\.so|lib[atu]b?san|libpthread", library):
            continue
        packages = subprocess.run(["dpkg", "-S", "*/" + library], capture_output=True, text=True, check=False).stdout
        names = {line.split(":")[0] for line in packages.splitlines()}
        assert any(re.search(r"\s%s\s" % re.escape(n), stage) for n in names), (library, names)


def test_logrotate_names_what_pgweir_has(tmp_path):
    text = read(os.path.join(ETC, "logrotate/pgweir"))
    assert "systemctl reload pgweir.service" in text and "create 0640 pgweir pgweir" in text
    if shutil.which("logrotate"):
        path = tmp_path / "pgweir"
        path.write_text(text)
        os.chmod(path, 0o644)
        done = subprocess.run(["logrotate", "-d", "-s", str(tmp_path / "state"), str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "error" not in done.stderr.lower(), done.stderr
