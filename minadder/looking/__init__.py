"""Looking into nets: what they answer in the plane, the graph behind a result, filters, and what they mistake.

`minadder.plot` draws arrays and knows no nets; the functions here ask nets and hand it arrays. They are called as
`ma.plot.decision_boundary` and the like.
"""
