"""`hack/chaos`: instances come and go while everything that they stand on is broken in turn.

A plan is drawn from one seed: what users do, and what befalls which part for how long. Both are
done at once on a bed of two nodes; then everything is healed, and the audit must find nothing.
"""
