"""What a scrape shows in each fault that an operator has to act on, and the one alert it has.

Series are written as promtool reads them: `4 4 5x400` is 4, 4, and 5 from then on; `1+6x400` grows
by 6 at each step. Prometheus' rules and the daemon's own are tried on the same table.
"""

QUIET = {
    'up{job="insights"}': "1",
    "insights_live": "1",
    "insights_ready": "1",
    'insights_check_status{kind="store"}': "0",
    'insights_check_status{kind="schema"}': "0",
    'insights_check_status{kind="source",name="erp"}': "0",
    'insights_check_status{kind="model",name="m"}': "0",
    'insights_check_status{kind="embedder"}': "0",
    'insights_check_status{kind="sink",name="desk"}': "0",
    'insights_breaker_open{part="store",name="store"}': "0",
    'insights_breaker_open{part="model",name="m"}': "0",
    'insights_stream_paused{stream="s"}': "0",
    'insights_stream_stopped{stream="s"}': "0",
    'insights_replica_lag_seconds{stream="s"}': "2",
    'insights_since_poll_seconds{stream="s"}': "5",
    'insights_stranded{stream="s",pipeline="p"}': "0",
    'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "30",
    'insights_outbox_oldest_seconds{sink="desk"}': "1",
    'insights_sink_stopped{sink="desk"}': "0",
    'insights_replies_late_seconds{door="webhook desk"}': "1",
    'insights_check_status{kind="door",name="exports"}': "0",
    'insights_published_rows_total{sink="desk",result="refused"}': "4",
    'insights_dead_letters_total{pipeline="p",step="render"}': "2",
    'insights_unforeseen_errors_total{where="feeder"}': "1",
    'insights_child_deaths_total{child="reader erp"}': "1",
    'insights_budget_reached{budget="b",state="stopped"}': "0",
    'insights_version_held{stream="s",pipeline="p"}': "0",
}
# What Prometheus alone can see: a process that has no word in the store.
OF_DOORS = {"a door is down": ("InsightsDoorDown", {'up{job="insights-doors"}': "0"})}
STOPPED = {'insights_check_status{kind="pipeline",name="p"}': "1", "insights_ready": "0"}
FAULTS: dict[str, tuple[str, dict[str, str]]] = {
    "the daemon is down": ("InsightsDown", {'up{job="insights"}': "0"}),
    "a thread is dead": ("InsightsStuck", {"insights_live": "0"}),
    "the store is down": (
        "InsightsStoreDown",
        {
            **STOPPED,
            'insights_check_status{kind="store"}': "2",
            'insights_breaker_open{part="store",name="store"}': "1",
            'insights_since_poll_seconds{stream="s"}': "5000",
            'insights_outbox_oldest_seconds{sink="desk"}': "5000",
            'insights_replies_late_seconds{door="webhook desk"}': "5000",
            'insights_check_status{kind="door",name="exports"}': "2",
            'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "5000",
        },
    ),
    "the store is full, or a right is gone": (
        "InsightsStoreDown",
        {**STOPPED, 'insights_breaker_open{part="store",name="store"}': "1"},
    ),
    "the schema is another": (
        "InsightsSchemaWrong",
        {
            **STOPPED,
            'insights_check_status{kind="schema"}': "2",
            'insights_breaker_open{part="store",name="store"}': "1",
        },
    ),
    "a replica is down or hangs": (
        "InsightsSourceDown",
        {
            **STOPPED,
            'insights_check_status{kind="source",name="erp"}': "2",
            'insights_since_poll_seconds{stream="s"}': "5000",
            'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "5000",
            'insights_child_deaths_total{child="reader erp"}': "0+1x400",
        },
    ),
    "a replica lags": (
        "InsightsReplicaLags",
        {
            'insights_replica_lag_seconds{stream="s"}': "90",
            'insights_check_status{kind="stream",name="s"}': "2",
            'insights_since_poll_seconds{stream="s"}': "5000",
            "insights_ready": "0",
        },
    ),
    "a replica went back in time": (
        "InsightsStreamNotPolled",
        {'insights_since_poll_seconds{stream="s"}': "5000"},
    ),
    "a column changed, or keys are twice there": (
        "InsightsStreamStopped",
        {
            'insights_stream_stopped{stream="s"}': "1",
            'insights_check_status{kind="stream",name="s"}': "1",
            'insights_since_poll_seconds{stream="s"}': "5000",
        },
    ),
    "a generator can do no row, or its file is damaged": (
        "InsightsModelDown",
        {
            **STOPPED,
            'insights_check_status{kind="model",name="m"}': "2",
            'insights_breaker_open{part="model",name="m"}': "1",
            'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "5000",
        },
    ),
    "the embedder dies": (
        "InsightsEmbedderDown",
        {**STOPPED, 'insights_check_status{kind="embedder"}': "2"},
    ),
    "a template that no row passes": ("InsightsPipelineStopped", STOPPED),
    "work that nobody serves": (
        "InsightsStranded",
        {
            'insights_stranded{stream="s",pipeline="p"}': "1",
            'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "5000",
        },
    ),
    "a sink is down": (
        "InsightsSinkDown",
        {
            "insights_ready": "0",
            'insights_check_status{kind="sink",name="desk"}': "2",
            'insights_sink_stopped{sink="desk"}': "1",
            'insights_outbox_oldest_seconds{sink="desk"}': "5000",
        },
    ),
    "a grant on the sink is missing": (
        "InsightsSinkDown",
        {
            'insights_sink_stopped{sink="desk"}': "1",
            'insights_outbox_oldest_seconds{sink="desk"}': "5000",
        },
    ),
    "no daemon publishes": (
        "InsightsOutboxOld",
        {'insights_outbox_oldest_seconds{sink="desk"}': "5000"},
    ),
    "whoever is told outcomes takes none, or its door does not run": (
        "InsightsRepliesLate",
        {'insights_replies_late_seconds{door="webhook desk"}': "5000"},
    ),
    "a folder of files is gone or full": (
        "InsightsFolderDown",
        {"insights_ready": "0", 'insights_check_status{kind="door",name="exports"}': "2"},
    ),
    "the sink refuses a row": (
        "InsightsRowsRefused",
        {'insights_published_rows_total{sink="desk",result="refused"}': "4 4 5x400"},
    ),
    "a poison row": (
        "InsightsDeadLetters",
        {'insights_dead_letters_total{pipeline="p",step="render"}': "2 2 3x400"},
    ),
    "an exception nobody foresaw": (
        "InsightsUnforeseen",
        {'insights_unforeseen_errors_total{where="feeder"}': "1 1 2x400"},
    ),
    "a version breaks a guard": (
        "InsightsVersionHeld",
        {'insights_version_held{stream="s",pipeline="p"}': "1"},
    ),
    "a budget is used up": (
        "InsightsBudgetUsedUp",
        {
            'insights_budget_reached{budget="b",state="stopped"}': "1",
            'insights_check_status{kind="budget",name="b"}': "1",
            'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "5000",
        },
    ),
    "a driver that crashes on some rows": (
        "InsightsChildDies",
        {'insights_child_deaths_total{child="reader erp"}': "1+6x400"},
    ),
}
