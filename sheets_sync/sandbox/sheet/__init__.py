"""A local server that answers as the Google Sheets API v4 does, and shows its workbooks in the browser.

`server.serve` starts it. Inside, `grid` holds workbooks as values that are never changed in place, `kinds` turns a
batch of requests into the next value or refuses all of it, `store` keeps values and journal in step, `api` and `page`
are two faces of the same store.
"""
