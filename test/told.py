"""told.py SOCKET: a filter on libmilter that does as the sender's address says.

The local part of the address is STAGE-ACTION: at header, eoh, body or eom it says
accept, reject, tempfail, discard, reply or skip; after body-skip it cannot stand
another piece of the body. eom-edit changes the message; eom-hold and eom-holdreject
quarantine it. Where nothing ends the message before, a field X-Told tells what the
filter was shown.

What it should never see it writes down.
"""
import hashlib
import sys

import Milter

SAYS = {
    "accept": Milter.ACCEPT,
    "reject": Milter.REJECT,
    "tempfail": Milter.TEMPFAIL,
    "discard": Milter.DISCARD,
    "reply": Milter.REJECT,
    "holdreject": Milter.REJECT,
    "skip": Milter.SKIP,
}


class Told(Milter.Base):
    def envfrom(self, sender, *args):
        self.sender = sender.strip("<>").split("@")[0]
        self.stage, _, self.action = self.sender.partition("-")
        self.fields, self.size, self.digest = 0, 0, hashlib.sha256()
        self.over, self.skipped = False, None
        return Milter.CONTINUE

    def header(self, name, value):
        if self.skipped != "header":
            self.fields += 1
        return self.say("header")

    def eoh(self):
        return self.say("eoh")

    def body(self, chunk):
        self.size += len(chunk)
        self.digest.update(chunk)
        return self.say("body")

    def eom(self):
        if self.action.startswith("hold"):
            self.quarantine("as told")
        if self.action == "edit":
            self.addheader("X-Added", "as told")
            self.chgheader("Subject", 1, "changed")
            self.addrcpt("<carol@example.test>")
            self.replacebody(b"Another body.\r\n")
        body = "some" if self.skipped == "body" else "%d %s" % (self.size, self.digest.hexdigest())
        self.addheader("X-Told", "%d fields, body %s" % (self.fields, body))
        return self.say("eom")

    # say gives the verdict where this is the stage for it.
    def say(self, stage):
        if self.over:
            print("UNEXPECTED:", stage, "after the verdict of", self.sender)
        if self.skipped == stage == "body":
            raise ValueError("UNEXPECTED: more of the body of " + self.sender)
        if stage != self.stage:
            return Milter.CONTINUE
        if self.action == "skip":
            self.skipped = stage
        else:
            self.over = self.action in SAYS
        if self.action == "reply":
            self.setreply("550", "5.7.1", "as told", "at " + stage)
        return SAYS.get(self.action, Milter.CONTINUE)


Milter.factory = Told
Milter.set_flags(Milter.ADDHDRS + Milter.CHGHDRS + Milter.CHGBODY + Milter.ADDRCPT + Milter.QUARANTINE)
Milter.runmilter("told", sys.argv[1], 240)
