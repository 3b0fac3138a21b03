"""What is counted where it happens, in Prometheus' units: seconds, bytes, totals that only grow.

Labels are names of the settings (streams, pipelines, sinks, models) and words of this program, so
that there are few of them; none comes from a row. What the OpenTelemetry conventions for generative
AI name has their name. Gauges are read when somebody asks: see `insights.wiring.measures`.
"""

from prometheus_client import CollectorRegistry, Counter, Summary

from insights.ground.histograms import Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LONG = (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
# The conventions' own, continued: a small machine takes its time ("Semantic conventions for
# generative AI metrics", gen_ai.server.time_to_first_token, gen_ai.client.token.usage).
_FIRST = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(name, says, labels, registry=REGISTRY)


def _summary(name: str, says: str, *labels: str) -> Summary:
    return Summary(name, says, labels, registry=REGISTRY)


def _histogram(name: str, says: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, says, labels, buckets=buckets, registry=REGISTRY)


# --- rows on their way ----------------------------------------------------------------------------

CLAIMED = _counter("insights_claimed_rows", "Rows claimed", "pipeline")
OUTCOMES = _counter("insights_outcomes", "Insights written, by status", "pipeline", "status")
GIVEN_BACK = _counter(
    "insights_given_back_rows",
    "Rows given back after a failed step, to be tried again",
    "pipeline",
    "step",
    "charged",
)
DEAD = _counter("insights_dead_letters", "Rows that became dead letters", "pipeline", "step")
MISSING = _counter("insights_missing_rows", "Claimed rows absent from the replica", "pipeline")
REDACTIONS = _counter("insights_redactions", "Values replaced by placeholders", "kind")
UNFORESEEN = _counter("insights_unforeseen_errors", "Exceptions nobody foresaw", "where")

# --- polling, publishing --------------------------------------------------------------------------

POLLS = _histogram("insights_poll_seconds", "Time of one poll", "stream", buckets=_SECONDS)
POLLED = _counter("insights_polled_rows", "Rows that polls read", "stream")
SWEEPS = _summary("insights_sweep_seconds", "Time of one turn of a sweep", "stream")
SWEPT = _counter("insights_swept_rows", "Rows that sweeps read", "stream")
CHANGES = _counter("insights_changes", "Rows found new, changed or deleted", "stream", "change")
RESCUED = _counter(
    "insights_rescued_rows", "Rows found by a sweep after polls missed them", "stream"
)
PUBLISHED = _counter("insights_published_rows", "Rows told to a sink", "sink", "result")
SHOWN = _histogram(
    "insights_publish_delay_seconds",
    "Time from an insight's generation until its sink shows it",
    "sink",
    buckets=_SECONDS,
)

VISIBLE = _histogram(
    "insights_visible_delay_seconds",
    "Time from when a row's change was found until its sink shows the insight of it",
    "sink",
    buckets=_LONG,
)

# --- doors ----------------------------------------------------------------------------------------

ACCEPTED = _counter(
    "insights_accepted_rows", "Rows that a door took: new, or known before", "pipeline", "result"
)
ANSWERED = _histogram(
    "insights_http_request_seconds",
    "Time of one answer of the HTTP door, by what was asked and the status",
    "request",
    "status",
    buckets=_SECONDS,
)
MESSAGES = _counter(
    "insights_queue_messages", "Messages of a queue, accepted or refused", "queue", "result"
)
REDELIVERED = _counter(
    "insights_queue_redelivered_messages", "Messages that a broker gave once more", "queue"
)
REPLIES = _counter("insights_queue_replies", "Outcomes told on a queue", "queue", "result")
FILES = _counter(
    "insights_folder_files", "Files of a folder whose outcomes are written", "door", "result"
)
RECORDS = _counter("insights_folder_records", "Records of files", "door", "result")
POSTS = _counter(
    "insights_webhook_posts", "Tries to tell a webhook: taken, failed or gone", "webhook", "result"
)

# --- what is asked of others ----------------------------------------------------------------------

CALLS = _summary(
    "insights_child_call_seconds",
    "Time of calls to child processes: of readers, what is spent on the replica",
    "child",
    "method",
)
DEATHS = _counter("insights_child_deaths", "Child processes that ended unasked", "child")
STATEMENTS = _summary("insights_store_statement_seconds", "Time of the store's statements", "name")

# --- models ---------------------------------------------------------------------------------------

TOKENS = _histogram(
    "gen_ai_client_token_usage",
    "Tokens of one generation",
    "gen_ai_request_model",
    "gen_ai_token_type",
    "gen_ai_operation_name",
    buckets=_TOKENS,
)
REUSED = _counter("insights_reused_prompt_tokens", "Prompt tokens taken from the cache", "model")
SPARED = _counter(
    "insights_reused_generations", "Insights that are of an earlier generation", "pipeline"
)
ESCALATED = _counter(
    "insights_escalated_rows",
    "Insights that the larger model of a pipeline was asked for",
    "pipeline",
)
COLUMN_VERDICTS = _counter(
    "insights_column_verdicts", "Verdicts of legacy columns that are new or another", "pipeline"
)
FORCED = _counter(
    "insights_forced_tokens", "Output tokens that the schema left no choice of", "model"
)
DURATION = _histogram(
    "gen_ai_server_request_duration_seconds",
    "Time of one generation, its queue included",
    "gen_ai_request_model",
    "gen_ai_operation_name",
    buckets=_FIRST,
)
FIRST_TOKEN = _histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "Time to the first token, the queue included",
    "gen_ai_request_model",
    "gen_ai_operation_name",
    buckets=_FIRST,
)
PER_TOKEN = _histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Time of each output token after the first",
    "gen_ai_request_model",
    "gen_ai_operation_name",
    buckets=_PER_TOKEN,
)
QUEUE = _histogram(
    "insights_generation_queue_seconds",
    "Time that a row waited for its model",
    "model",
    buckets=_FIRST,
)
