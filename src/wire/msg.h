/*
 * msg.h - names of the protocol's messages per direction, and what else the protocol spells with one byte.
 * Source: PostgreSQL's manual, "Frontend/Backend Protocol", section "Message Formats".
 */
#ifndef PGWEIR_MSG_H
#define PGWEIR_MSG_H

#include "base/base.h"

enum { /* from a client */
	MSG_BIND = 'B',
	MSG_CLOSE = 'C',
	MSG_COPY_DATA = 'd',
	MSG_COPY_DONE = 'c',
	MSG_COPY_FAIL = 'f',
	MSG_DESCRIBE = 'D',
	MSG_EXECUTE = 'E',
	MSG_FLUSH = 'H',
	MSG_FUNCTION_CALL = 'F',
	MSG_PARSE = 'P',
	MSG_PASSWORD = 'p', /* also SASLInitialResponse, SASLResponse */
	MSG_QUERY = 'Q',
	MSG_SYNC = 'S',
	MSG_TERMINATE = 'X',
};

enum { /* from a server; MSG_COPY_DATA and MSG_COPY_DONE have the same byte in both directions */
	MSG_AUTHENTICATION = 'R',
	MSG_BACKEND_KEY_DATA = 'K',
	MSG_BIND_COMPLETE = '2',
	MSG_CLOSE_COMPLETE = '3',
	MSG_COMMAND_COMPLETE = 'C',
	MSG_COPY_BOTH_RESPONSE = 'W',
	MSG_COPY_IN_RESPONSE = 'G',
	MSG_COPY_OUT_RESPONSE = 'H',
	MSG_DATA_ROW = 'D',
	MSG_EMPTY_QUERY_RESPONSE = 'I',
	MSG_ERROR_RESPONSE = 'E',
	MSG_FUNCTION_CALL_RESPONSE = 'V',
	MSG_NEGOTIATE_PROTOCOL_VERSION = 'v',
	MSG_NO_DATA = 'n',
	MSG_NOTICE_RESPONSE = 'N',
	MSG_NOTIFICATION_RESPONSE = 'A',
	MSG_PARAMETER_DESCRIPTION = 't',
	MSG_PARAMETER_STATUS = 'S',
	MSG_PARSE_COMPLETE = '1',
	MSG_PORTAL_SUSPENDED = 's',
	MSG_READY_FOR_QUERY = 'Z',
	MSG_ROW_DESCRIPTION = 'T',
};

enum tx_status { TX_IDLE = 'I', TX_BLOCK = 'T', TX_FAILED = 'E' }; /* the byte in ReadyForQuery */

enum auth_request { /* the int32 in an Authentication message */
	AUTH_OK = 0,
	AUTH_CLEARTEXT_PASSWORD = 3,
	AUTH_MD5_PASSWORD = 5,
	AUTH_SASL = 10,
	AUTH_SASL_CONTINUE = 11,
	AUTH_SASL_FINAL = 12,
};

#define PROTOCOL_3_0 UINT32_C(0x00030000)
#define PROTOCOL_3_2 UINT32_C(0x00030002) /* long cancel keys */
#define CANCEL_SECRET_SHORT 4		  /* before 3.2 */
#define CANCEL_SECRET_LONG 32		  /* as long as PostgreSQL 18's */
#define CANCEL_SECRET_MAX 256
#define CANCEL_REQUEST_CODE UINT32_C(80877102)
#define SSL_REQUEST_CODE UINT32_C(80877103)
#define GSSENC_REQUEST_CODE UINT32_C(80877104)

/* May a client send this type after login? A password message may not: PostgreSQL calls it invalid then, too. */
static inline bool msg_is_from_client(uint8_t type)
{
	switch (type) {
	case MSG_BIND:
	case MSG_CLOSE:
	case MSG_COPY_DATA:
	case MSG_COPY_DONE:
	case MSG_COPY_FAIL:
	case MSG_DESCRIBE:
	case MSG_EXECUTE:
	case MSG_FLUSH:
	case MSG_FUNCTION_CALL:
	case MSG_PARSE:
	case MSG_QUERY:
	case MSG_SYNC:
	case MSG_TERMINATE: return true;
	default: return false;
	}
}

#endif
