"""A milter that refuses recipients whose name says so, with a reply that would like to be HTML."""
import sys
import Milter


class Filter(Milter.Base):
    def envrcpt(self, to, *args):
        if "bad" in to:
            self.setreply("550", "5.7.1", "<img src=x onerror=alert(1)> <b>bold</b>")
            return Milter.REJECT
        return Milter.CONTINUE

    def eom(self):
        return Milter.CONTINUE


Milter.factory = Filter
Milter.runmilter("filter", sys.argv[1], 30)
