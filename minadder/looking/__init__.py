"""Looking into nets: summaries, what they answer in the plane, the graph behind a result, filters, what they mistake.

`minadder.plot` draws arrays and knows no nets; the functions here ask nets and hand it arrays. They are called as
`ma.summary`, `ma.plot.decision_boundary` and the like.
"""
