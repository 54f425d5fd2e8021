"""Operations by the URL that they are asked for at: most providers and gateways speak OpenAI's."""

OPERATIONS = (
    (r"/chat/completions\b|/responses\b|/messages\b|[:/](stream)?generatecontent\b", "chat"),
    (r"/converse(-stream)?\b", "chat"),
    (r"/completions\b", "text_completion"),
    (r"/embeddings\b|:(batch)?embedcontents?\b", "embeddings"),
    (r"/images/(generations|edits|variations)\b", "image_generation"),
    (r"/videos\b", "video_generation"),
    (r"/audio/speech\b", "speech"),
    (r"/audio/transcriptions\b", "transcription"),
    (r"/audio/translations\b", "translation"),
    (r"/realtime\b", "realtime"),
    (r"/reranks?\b", "rerank"),
    (r"/moderations\b", "moderation"),
)
"""Patterns, of which the first that is found in the URL's path counts, in any case of letters."""
