/*
 * filter.c: a filter on libmilter that looks at everything, reads the whole
 * body, and says continue. Its argument is the socket, as "unix:PATH".
 */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <libmilter/mfapi.h>

struct seen { size_t body; }; /* of one conversation */

static struct seen *seen(SMFICTX *ctx)
{
	struct seen *s = smfi_getpriv(ctx);

	if (s == NULL) {
		s = calloc(1, sizeof *s);
		smfi_setpriv(ctx, s);
	}
	return s;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *addr)
{
	return seen(ctx) == NULL ? SMFIS_TEMPFAIL : SMFIS_CONTINUE;
}

static sfsistat on_helo(SMFICTX *ctx, char *name) { return SMFIS_CONTINUE; }
static sfsistat on_mail(SMFICTX *ctx, char **argv) { return SMFIS_CONTINUE; }
static sfsistat on_rcpt(SMFICTX *ctx, char **argv) { return SMFIS_CONTINUE; }
static sfsistat on_data(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_unknown(SMFICTX *ctx, const char *line) { return SMFIS_CONTINUE; }
static sfsistat on_header(SMFICTX *ctx, char *name, char *value) { return SMFIS_CONTINUE; }
static sfsistat on_eoh(SMFICTX *ctx) { return SMFIS_CONTINUE; }

static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t length)
{
	struct seen *s = seen(ctx);

	if (s != NULL)
		s->body += length;
	return SMFIS_CONTINUE;
}

static sfsistat on_eom(SMFICTX *ctx) { return SMFIS_CONTINUE; }
static sfsistat on_abort(SMFICTX *ctx) { return SMFIS_CONTINUE; }

static sfsistat on_close(SMFICTX *ctx)
{
	free(smfi_getpriv(ctx));
	smfi_setpriv(ctx, NULL);
	return SMFIS_CONTINUE;
}

static struct smfiDesc filter = {
	"filter", SMFI_VERSION, 0, on_connect, on_helo, on_mail, on_rcpt, on_header,
	on_eoh, on_body, on_eom, on_abort, on_close, on_unknown, on_data, NULL
};

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the benchmark */
	if (argc != 2 || smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS) {
		fprintf(stderr, "usage: filter SOCKET\n");
		return 2;
	}
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}
